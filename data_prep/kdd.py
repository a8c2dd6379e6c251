"""The click log of KDD Cup 2012, track 2 (Tencent's search engine): 149,639,105 rows and 24 million user profiles.

Both files are tab-separated without a header. `training.txt`: clicks, impressions, display URL, ad, advertiser, depth,
position, query, keyword, title, description, user. `userid_profile.txt`: user, gender, age group.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from recnas.data_prep.bad_rows import BadRows
from recnas.data_prep.delimited import Clicks, Decimal, Form, Number, read_rows
from recnas.data_prep.engine import RawTable
from recnas.data_prep.recipe import recipe
from recnas.data_prep.text import describe, input_files
from recnas.features.feature import SparseFeature
from recnas.features.published import PUBLISHED_ROWS
from recnas.util.errors import InputError

LABEL = "click"
DENSE = ("impression", "depth", "position")
# A display URL is a 64-bit hash.
MODULUS = 2**31 - 1

TABLE_ROWS = PUBLISHED_ROWS["kdd"]

FORM = Form(
    {
        LABEL: Clicks(),
        "impression": Number(),
        "display_url": Decimal(MODULUS),
        "ad": Decimal(),
        "advertiser": Decimal(),
        "depth": Number(),
        "position": Number(),
        "query": Decimal(),
        "keyword": Decimal(),
        "title": Decimal(),
        "description": Decimal(),
        "user": Decimal(),
    }
)
PROFILE_FORM = Form({"user": Decimal(), "gender": Decimal(), "age": Decimal()})


@recipe(
    "KDD Cup 2012, track 2: --input folder of training.txt and userid_profile.txt",
    "recnas prepare kdd --input track2 --output data/kdd",
    spreads=True,
)
def read_kdd(input: Path | None, bad_rows: BadRows, progress: bool) -> RawTable:
    """The rows of `training.txt`, joined by user with `userid_profile.txt`; a user without a profile has neither
    gender nor age.

    Raises:
        InputError: no input is given, or a file is not there; while reading, a row that does not fit.
    """
    if input is None or not input.is_dir():
        given = "" if input is None else f"; {input} is not a folder"
        raise InputError(f"kdd needs --input, a folder with {' and '.join(_FILES)}, packed or not{given}")
    log, profiles = (input_files(input, [name]) for name in _FILES)
    kinds = PROFILE_FORM.columns | FORM.columns
    sparse = [SparseFeature(name, rows, id_parser=kinds[name].id_parser) for name, rows in TABLE_ROWS.items()]
    return RawTable(
        label=LABEL,
        dense=dict.fromkeys(DENSE, "log1p"),
        chunks=_chunks(log, profiles, bad_rows, progress),
        sparse=sparse,
        source=describe("kdd", [*log, *profiles]),
        files=[*log, *profiles],
    )


_FILES = ("training.txt", "userid_profile.txt")


def _chunks(log: list[Path], profiles: list[Path], bad_rows: BadRows, progress: bool) -> Iterator[pl.DataFrame]:
    look_up = _Profiles(read_rows(PROFILE_FORM, profiles, bad_rows, progress))
    for chunk in read_rows(FORM, log, bad_rows, progress):
        yield chunk.with_columns(look_up(chunk["user"]))


class _Profiles:
    """Gender and age by user: a few bytes a profile.

    Args:
        chunks: frames of user, gender and age. Of a user's profiles the last counts; one without a user is no one's.
    """

    def __init__(self, chunks: Iterator[pl.DataFrame]) -> None:
        parts = [chunk.filter(pl.col("user").is_not_null()) for chunk in chunks]
        table = pl.concat(parts) if parts else pl.DataFrame(schema=dict.fromkeys(PROFILE_FORM.columns, pl.UInt32))
        users = table["user"].to_numpy()
        order = np.argsort(users, kind="stable")
        # Of equal users the last one in the files.
        order = order[np.append(np.diff(users[order]) > 0, True)] if len(users) else order
        self._users = users[order]
        self._values = {name: table[name].gather(order) for name in ("gender", "age")}

    def __call__(self, users: pl.Series) -> list[pl.Series]:
        """Gender and age of each user, null where not known."""
        if not len(self._users):
            return [pl.Series(name, [None] * len(users), dtype=pl.UInt32) for name in self._values]
        ids = users.fill_null(0).to_numpy()
        # Looking each different user up once, in order, keeps the table's cache lines in use.
        distinct, back = np.unique(ids, return_inverse=True)
        place = np.minimum(np.searchsorted(self._users, distinct), len(self._users) - 1)
        known = pl.Series(self._users[place] == distinct)[back] & users.is_not_null()
        return [
            pl.select(pl.when(known).then(values.gather(place)[back])).to_series().alias(name)
            for name, values in self._values.items()
        ]
