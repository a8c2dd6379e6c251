"""Criteo's click log (Kaggle display advertising challenge, 2014): `train.txt`, 45,840,617 rows.

A row is tab-separated, without a header: the label, 13 numbers I1 … I13 (counts, may be empty, now and then
negative), and 26 ids C1 … C26 (up to 8 hexadecimal digits, may be empty). Criteo's later logs (`day_0` … `day_23`)
have the same form.
"""

from pathlib import Path

from recnas.data_prep.bad_rows import BadRows
from recnas.data_prep.delimited import Form, Hex, Label, Number, read_rows
from recnas.data_prep.engine import RawTable
from recnas.data_prep.recipe import recipe
from recnas.data_prep.split import ROW_ORDER
from recnas.data_prep.text import describe, input_files
from recnas.features.feature import SparseFeature
from recnas.features.published import PUBLISHED_ROWS
from recnas.util.errors import InputError

LABEL = "label"
DENSE = tuple(f"I{number}" for number in range(1, 14))
TABLE_ROWS = PUBLISHED_ROWS["criteo"]
SPARSE = tuple(TABLE_ROWS)

FORM = Form({LABEL: Label(), **dict.fromkeys(DENSE, Number()), **dict.fromkeys(SPARSE, Hex())})


@recipe(
    "Criteo's click logs: --input train.txt, a folder of day_0, day_1 … or a pattern 'day_*'",
    "recnas prepare criteo --input train.txt --output data/criteo",
    spreads=True,
)
def read_criteo(input: Path | None, bad_rows: BadRows, progress: bool) -> RawTable:
    """The rows of `train.txt`, or of many files of its form.

    Raises:
        InputError: no input is given, or a file is not there; while reading, a row that does not fit.
    """
    if input is None:
        raise InputError("criteo needs --input, the train.txt of the Kaggle challenge, or a folder of day_0, day_1 …")
    files = input_files(input, ("train.txt", "day_<number>"))
    sparse = [SparseFeature(name, rows, id_parser=Hex.id_parser) for name, rows in TABLE_ROWS.items()]
    return RawTable(
        label=LABEL,
        dense=dict.fromkeys(DENSE, "log1p"),
        chunks=read_rows(FORM, files, bad_rows, progress),
        sparse=sparse,
        time=ROW_ORDER,
        source=describe("criteo", files),
        files=files,
    )
