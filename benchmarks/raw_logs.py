"""Raw logs in the forms of Criteo, Avazu and KDD, as large as one likes: made up, with clicks that can be learned.

Ids come as often as Zipf's law says, of as many values as the published tables have rows; values are missing as often
as in Criteo's Kaggle log.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from recnas.data_prep.avazu import FORM as AVAZU
from recnas.data_prep.avazu import HEXADECIMAL, TABLE_ROWS
from recnas.data_prep.criteo import FORM as CRITEO
from recnas.data_prep.draws import bits_of, key_of, normal_of, uniform_of, zipf_of
from recnas.data_prep.synthetic import COLUMNS, SyntheticLog
from recnas.features.published import PUBLISHED_ROWS
from recnas.features.raw_values import mixed

CHUNK_ROWS = 200_000
_DIGITS = pl.Series([f"{value:04x}" for value in range(1 << 16)], dtype=pl.String)
"""Half of an id as hexadecimal digits."""


def criteo_log(folder: Path, rows: int, published_sizes: bool = False) -> Path:
    """Writes `criteo-<rows>.txt`, or `criteo-<rows>-full.txt` with published sizes, unless it is there.

    Args:
        folder: Where.
        rows: How many.
        published_sizes: Whether ids have as many values as the published tables have rows, instead of a tenth.
    """
    path = folder / f"criteo-{rows}{'-full' if published_sizes else ''}.txt"
    columns = {
        name: replace(column, scale=PUBLISHED_ROWS["criteo"][name] - 1)
        if published_sizes and name in PUBLISHED_ROWS["criteo"]
        else column
        for name, column in COLUMNS.items()
    }
    if not path.exists():
        chunks = SyntheticLog(0, columns=columns).chunks(rows)
        ids = [name for name in CRITEO.columns if name.startswith("C")]
        _write(
            path,
            (chunk.with_columns(map(hexadecimal, chunk[ids])).select(*CRITEO.columns) for chunk in chunks),
            separator="\t",
        )
    return path


def avazu_log(folder: Path, rows: int) -> Path:
    """Writes `avazu-<rows>.csv`, unless it is there: ten days of a site's and an app's ids, a sixth of them clicks."""
    path = folder / f"avazu-{rows}.csv"
    if not path.exists():
        _write(path, (_avazu_rows(start, min(rows, start + CHUNK_ROWS)) for start in _starts(rows)), header=True)
    return path


def kdd_log(folder: Path, rows: int, profiles: int) -> Path:
    """Makes a folder of `training.txt` and `userid_profile.txt`, unless it is there; one user in ten has none."""
    path = folder / f"kdd-{rows}-{profiles}"
    if path.exists():
        return path
    partial = folder / "kdd.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    rng = np.random.default_rng(0)
    users = rng.permutation(profiles * 10 // 9)
    _write(
        partial / "training.txt",
        (_kdd_rows(rng, users, min(CHUNK_ROWS, rows - start)) for start in _starts(rows)),
        separator="\t",
    )
    known = pl.DataFrame(
        {"user": users[:profiles], "gender": rng.integers(0, 3, profiles), "age": rng.integers(1, 7, profiles)}
    )
    known.write_csv(partial / "userid_profile.txt", include_header=False, separator="\t")
    return partial.rename(path)


def hexadecimal(ids: pl.Series) -> pl.Series:
    """Ids below 2³² as eight hexadecimal digits; what is missing stays missing."""
    there = ids.fill_null(0).cast(pl.UInt32)
    halves = [_DIGITS.gather(there // (1 << 16)), _DIGITS.gather(there % (1 << 16))]
    text = pl.select(pl.concat_str(halves)).to_series().alias(ids.name)
    return text.set(ids.is_null(), None) if ids.null_count() else text


def _avazu_rows(start: int, stop: int) -> pl.DataFrame:
    numbers = np.arange(start, stop, dtype=np.uint64)
    ids = {
        name: zipf_of(_uniform(name, numbers), TABLE_ROWS[name] - 1) - np.uint64(1)
        for name in TABLE_ROWS
        if name != "id"
    }
    score = -1.9 + 0.6 * sum(_effect(name, ids[name]) for name in ("site_id", "app_id", "device_model", "C14"))
    score = score + 0.5 * _effect("site and app", ids["site_id"] * np.uint64(1 << 32) + ids["app_id"])
    columns: dict[str, pl.Series | np.ndarray] = {
        "id": mixed(numbers + np.uint64(1)),
        "click": (_uniform("click", numbers) < 1 / (1 + np.exp(-score))).astype(np.int8),
        # Ten days from the 21st of October 2014 on, an hour after the other.
        "hour": 14_102_100
        + (numbers // np.uint64(24_000) % np.uint64(10)) * np.uint64(100)
        + numbers // np.uint64(1000) % np.uint64(24),
    }
    for name in TABLE_ROWS:
        if name not in columns:
            values = mixed(ids[name] + np.uint64(len(name) << 40)) >> np.uint64(32)
            columns[name] = hexadecimal(pl.Series(values)) if name in HEXADECIMAL else ids[name]
    return pl.DataFrame(columns).select(*AVAZU.columns)


def _kdd_rows(rng: np.random.Generator, users: np.ndarray, size: int) -> pl.DataFrame:
    def ids(most: int) -> np.ndarray:
        return (most * rng.random(size) ** 4).astype(np.int64)

    columns: Mapping[str, np.ndarray] = {
        "impression": 1 + rng.poisson(0.5, size),
        "url": mixed(ids(26_000).astype(np.uint64)),
        "ad": 20_000_000 + ids(640_000),
        "advertiser": ids(15_000),
        "depth": rng.integers(1, 4, size),
        "position": rng.integers(1, 4, size),
        **{name: ids(most) for name, most in (("query", 22_000_000), ("keyword", 1_200_000))},
        **{name: ids(most) for name, most in (("title", 3_700_000), ("description", 2_900_000))},
        "user": users[ids(len(users))],
    }
    score = -3.4 + 0.5 * sum(_effect(name, columns[name].astype(np.uint64)) for name in ("ad", "advertiser", "user"))
    clicks = rng.poisson(np.exp(score - 0.4 * columns["position"]))
    return pl.DataFrame({"click": clicks, **columns})


def _starts(rows: int) -> range:
    return range(0, rows, CHUNK_ROWS)


def _write(path: Path, chunks: Iterator[pl.DataFrame], separator: str = ",", header: bool = False) -> None:
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        for place, chunk in enumerate(chunks):
            chunk.write_csv(file, include_header=header and not place, separator=separator)
    partial.rename(path)


def _uniform(name: str, numbers: np.ndarray) -> np.ndarray:
    """`[N]` in [0, 1)."""
    return uniform_of(key_of(name), numbers)


def _effect(name: str, ids: np.ndarray) -> np.ndarray:
    """About normal, one for each id."""
    return normal_of(bits_of(key_of(name), ids))
