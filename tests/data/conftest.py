"""Data sets of any shape, written without the package's own writer, and the examples they stand for."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from recnas.data import Batch, Dataset
from recnas.features.feature import DenseFeature, SparseFeature
from recnas.features.schema import SPLITS, Schema

TYPES = {
    "click": pa.int8(),
    "number": pa.float64(),
    "x": pa.float64(),
    "user": pa.uint32(),
    "item": pa.uint32(),
    "tags": pa.list_(pa.uint32()),
}


def _columns(size: int, random: np.random.Generator) -> dict[str, list]:
    def ids(missing: float) -> int | None:
        return None if random.random() < missing else int(random.integers(2**32))

    tags = [None if random.random() < 0.2 else [ids(0.1) for _ in range(random.integers(4))] for _ in range(size)]
    return {
        "click": [number % 3 % 2 for number in range(size)],
        "number": list(range(size)),
        "x": random.normal(size=size).astype(np.float32).tolist(),
        "user": [ids(0.2) for _ in range(size)],
        "tags": tags,
        "item": [ids(0) for _ in range(size)],
    }


@pytest.fixture
def make_data_set(tmp_path: Path) -> Callable[..., tuple[Path, dict[str, dict[str, list]]]]:
    """Writes a data set; gives its folder and, by split, its raw columns. `number` is each row's place."""

    def make(rows: int = 200, group_rows: int = 16, part_rows: int = 64) -> tuple[Path, dict[str, dict[str, list]]]:
        folder = tmp_path / "set"
        random = np.random.default_rng(rows)
        columns = {}
        for split, size in zip(SPLITS, (rows, 20, 20), strict=True):
            (folder / split).mkdir(parents=True)
            columns[split] = _columns(size, random)
            table = pa.table({name: pa.array(values, TYPES[name]) for name, values in columns[split].items()})
            for part, start in enumerate(range(0, size, part_rows)):
                pq.write_table(
                    table.slice(start, part_rows),
                    folder / split / f"part-{part:05d}.parquet",
                    row_group_size=group_rows,
                )
        Schema(
            label="click",
            dense=(DenseFeature("number", {"name": "none"}), DenseFeature("x", {"name": "none"})),
            sparse=(
                SparseFeature("user", 50),
                SparseFeature("tags", 7, pooling="mean", multi_valued=True),
                SparseFeature("item", 2**31 - 1),
            ),
            splits={
                split: {"rows": len(values["click"]), "positives": sum(values["click"])}
                for split, values in columns.items()
            },
        ).save(folder)
        return folder, columns

    return make


@pytest.fixture
def shared_set(make_data_set) -> Dataset:
    """An opened data set of 200 training rows in 13 row groups."""
    path, _ = make_data_set()
    return Dataset(path)


def assert_equal_batches(found: list[Batch], wanted: list[Batch]) -> None:
    """Batches of the same sizes and bits."""
    assert [len(batch) for batch in found] == [len(batch) for batch in wanted]
    for one, other in zip(found, wanted, strict=True):
        assert one.sparse.keys() == other.sparse.keys()
        assert one.sparse.length_per_key() == other.sparse.length_per_key()
        for part in ("values", "lengths", "offsets"):
            assert torch.equal(getattr(one.sparse, part)(), getattr(other.sparse, part)())
        assert torch.equal(one.dense, other.dense)
        assert torch.equal(one.label, other.label)
