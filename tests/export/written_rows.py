"""The `rows.py` of a project against `Schema.encode`: the same inputs of good rows, the same refusal of bad ones."""

import importlib.util
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch

from recnas.data import batch_of
from recnas.export.project import READING, reading_code
from recnas.export.rows_code import example_row
from recnas.export.templates import render
from recnas.features.encoding import column_of
from recnas.features.feature import parts_of
from recnas.features.schema import Schema
from recnas.util.errors import InputError

ODD_TEXTS = ("", " ", "NA", "nan", "inf", "-1", "7.0", "7.5", "007", "1e3", "1_0", "٣", "ff", "14102124", "\ud800")
ODD = (*ODD_TEXTS, "+f", "a|b", None, float("nan"), float("inf"), True, -1, 7.0, 0.5, 1e300, 2.0**53 + 2, 2**32, 2**63)
ODD += (10**18, 10**400, [], [1], ["a", None, "7"], {})
"""Values that some features cannot read."""


def module_of(file: Path, **others: ModuleType) -> ModuleType:
    """A file as a module that imports these modules, whatever else has their names."""
    spec = importlib.util.spec_from_file_location(f"written_{file.stem}", file)
    module = importlib.util.module_from_spec(spec)
    before = {name: sys.modules.get(name) for name in others}
    sys.modules.update(others)
    try:
        spec.loader.exec_module(module)
    finally:
        for name, other in before.items():
            if other is None:
                del sys.modules[name]
            else:
                sys.modules[name] = other
    return module


def write_rows(schema: Schema, folder: Path) -> Path:
    """The part of a project that reads data."""
    folder.mkdir(parents=True, exist_ok=True)
    schema.save(folder)
    for name in READING:
        (folder / name).write_text(render(name, **reading_code(schema)), encoding="utf-8")
    return folder


def written_rows(schema: Schema, folder: Path) -> ModuleType:
    """The project's `rows.py`, written and imported."""
    write_rows(schema, folder)
    return module_of(folder / "rows.py", features=module_of(folder / "features.py"))


def outcome_of_encode(schema: Schema, rows: Sequence[Mapping[str, Any]]) -> str | list[list]:
    try:
        batch = batch_of(schema.encode(list(rows)), schema)
    except InputError as error:
        return str(error)
    return _plain(batch.dense, batch.sparse)


def outcome_of_written(module: ModuleType, rows: Sequence[Mapping[str, Any]]) -> str | list[list]:
    try:
        (batch,) = module.batches_of_rows(rows, len(rows))
    except ValueError as error:
        return str(error)
    return _plain(*batch)


def _plain(dense: torch.Tensor, sparse: Any) -> list[list]:
    assert dense.dtype == torch.float32
    assert sparse.values().dtype == torch.int64
    # As bits: nothing is rounded otherwise.
    return [dense.numpy().view(np.uint32).tolist(), sparse.keys(), sparse.values().tolist(), sparse.lengths().tolist()]


def assert_read_alike(schema: Schema, module: ModuleType, rows: Sequence[Mapping[str, Any]]) -> None:
    assert outcome_of_written(module, rows) == outcome_of_encode(schema, rows)


def assert_project_reads(schema: Schema, folder: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Good rows, those with a missing or an odd value in each column, and one of the README."""
    module = written_rows(schema, folder)
    assert isinstance(outcome_of_written(module, rows), list)
    assert isinstance(outcome_of_written(module, [example_row(schema)]), list)
    assert_read_alike(schema, module, rows)
    good = rows[0]
    assert_read_alike(schema, module, [dict.fromkeys(good), good])
    for column in {column_of(feature) for feature in (*schema.dense, *parts_of(schema.sparse))}:
        for odd in ODD:
            assert_read_alike(schema, module, [good, good | {column: odd}])
        assert_read_alike(schema, module, [{name: value for name, value in good.items() if name != column}])
