"""Prepared data sets in a project: read by plain code of its own as `Dataset` feeds them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recnas.data import Batch, Dataset, fit_inputs
from recnas.features.feature import DenseFeature, SparseFeature
from recnas.features.inputs import Inputs
from recnas.features.schema import SPLITS, Schema
from tests.export.written_rows import module_of, write_rows

ROWS = 120
DENSE = (
    DenseFeature("price", {"name": "log1p"}),
    DenseFeature("age", {"name": "standardize", "mean": 30.0, "std": 7.5}),
)
SPARSE = (
    SparseFeature("user", 30),
    SparseFeature("city", 6, kept=(2, 3, 5, 7), unseen="shared"),
    SparseFeature("shop", 5, kept=(2, 3, 5, 7)),
    SparseFeature("tags", 5, multi_valued=True, kept=(2, 3, 5, 7)),
    SparseFeature("words", 9, multi_valued=True, pooling="mean"),
)
ALL = Inputs(("columns", "field", "bins", "piecewise", "missing"), 16, 8, ("user:price", "city:shop:age"), min_count=9)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set with missing values of all kinds, in several row groups."""
    generator, folder = np.random.default_rng(0), tmp_path_factory.mktemp("data")

    def some(values: list) -> list:
        return [None if generator.random() < 0.1 else value for value in values]

    def ids(values: int, size: int = ROWS) -> list[int]:
        # The smaller the more frequent.
        return (generator.random(size) ** 2 * values).astype(int).tolist()

    for split in SPLITS:
        columns = {
            "click": pa.array(generator.integers(2, size=ROWS), pa.int8()),
            "price": pa.array(some(generator.lognormal(size=ROWS).round(1).tolist()), pa.float64()),
            "age": pa.array(some(generator.normal(30, 9, ROWS).tolist()), pa.float64()),
            "user": pa.array(some(ids(50)), pa.uint32()),
            "city": pa.array(some(ids(5)), pa.uint32()),
            "shop": pa.array(some(ids(4)), pa.uint32()),
            "tags": pa.array(some([ids(4, size) for size in ids(4)]), pa.list_(pa.uint32())),
            "words": pa.array([ids(30, size) for size in ids(4)], pa.list_(pa.uint32())),
        }
        (folder / split).mkdir()
        pq.write_table(pa.table(columns), folder / split / "part-00000.parquet", row_group_size=50)
    splits = {split: _counts(folder / split) for split in SPLITS}
    Schema("click", DENSE, SPARSE, splits).save(folder)
    return folder


def _counts(folder: Path) -> dict[str, int]:
    label = pq.read_table(folder, columns=["click"])["click"].to_numpy()
    return {"rows": len(label), "positives": int(label.sum())}


def read_by_project(schema: Schema, folder: Path, data: Path, **options) -> list:
    """What a project's `data.py` gives of the training rows, as plain values."""
    write_rows(schema, folder)
    module = module_of(folder / "data.py", features=module_of(folder / "features.py"))
    found = module.DataSet(data)
    batches = list(found.batches("train", 50, **options))
    processes = options.get("processes", 1)
    assert len(batches) == found.count_batches("train", 50, processes)
    return [_plain(dense, sparse, label) for (dense, sparse), label in batches]


def _plain(dense, sparse, label) -> list:
    return [dense.numpy().tobytes(), sparse.keys(), sparse.values().tolist(), sparse.lengths().tolist(), label.tolist()]


def _plain_batch(batch: Batch) -> list:
    return _plain(batch.dense, batch.sparse, batch.label)


@pytest.mark.parametrize(
    "inputs",
    [
        Inputs(),
        Inputs(("bins",), 16),
        Inputs(("piecewise", "missing"), crosses=("city:user",)),
        Inputs(("field",), min_count=3),
        ALL,
        replace(ALL, numbers=("columns",), min_count=1),
        Inputs(dropped=("user", "price")),
        replace(ALL, dropped=("user", "price", "words")),
    ],
)
@pytest.mark.parametrize("cap", [None, 4])
def test_a_data_set_is_read_as_it_is_fed(data: Path, tmp_path: Path, inputs: Inputs, cap: int | None) -> None:
    schema = fit_inputs(Dataset(data), inputs).capped(cap)
    fed = Dataset(data).fed(schema)
    expected = [_plain_batch(batch) for batch in fed.batches("train", 50)]
    assert read_by_project(schema, tmp_path, data) == expected


def test_rows_are_shared_out_and_shuffled(data: Path, tmp_path: Path) -> None:
    schema = fit_inputs(Dataset(data), ALL)
    whole = read_by_project(schema, tmp_path, data)
    parts = [read_by_project(schema, tmp_path, data, rank=rank, processes=2) for rank in range(2)]
    assert [[*first[4], *second[4]] for first, second in zip(*parts, strict=True)] == [batch[4] for batch in whole]
    shuffled = read_by_project(schema, tmp_path, data, shuffle=1)
    assert shuffled != whole
    assert sorted(label for batch in shuffled for label in batch[4]) == sorted(label for b in whole for label in b[4])


def test_a_data_set_of_version_3_has_transformed_numbers(data: Path, tmp_path: Path) -> None:
    old = tmp_path / "old"
    for split in SPLITS:
        (old / split).mkdir(parents=True)
        table = pq.read_table(data / split)
        for feature in DENSE:
            made = feature.apply(table[feature.name].to_numpy())
            table = table.set_column(table.column_names.index(feature.name), feature.name, pa.array(made))
        pq.write_table(table, old / split / "part-00000.parquet", row_group_size=50)
    replace(Schema.load(data), version=3).save(old)
    as_fields = fit_inputs(Dataset(data), Inputs(("columns", "field"), crosses=("city:user",), min_count=2))
    now, then = (read_by_project(as_fields, tmp_path, folder) for folder in (data, old))
    assert now == then
    with pytest.raises(SystemExit, match="old: it has version 3, which keeps transformed numbers only, and the model"):
        read_by_project(fit_inputs(Dataset(data), ALL), tmp_path, old)
    other = replace(as_fields, dense=(replace(DENSE[0], transform={"name": "none"}), DENSE[1]))
    with pytest.raises(SystemExit, match="old: does not fit the model: price was transformed otherwise"):
        read_by_project(other, tmp_path, old)


def test_a_data_set_of_other_values_is_refused(data: Path, tmp_path: Path) -> None:
    own = Schema.load(data)
    user, city, *others = own.sparse
    for changed, message in (
        (replace(own, sparse=(replace(user, vocabulary=("a",)), city, *others)), "user has another vocabulary"),
        (replace(own, sparse=(user, replace(city, kept=(1,), rows=3), *others)), "city has another vocabulary"),
        (replace(own, sparse=(replace(user, name="person"), city, *others)), "it has no feature person"),
        (replace(own, version=2), "user has another vocabulary"),
    ):
        with pytest.raises(SystemExit, match=f"does not fit the model: {message}"):
            read_by_project(changed, tmp_path, data)
    with pytest.raises(SystemExit, match=r"schema\.json: No such file or directory; `recnas prepare` makes"):
        read_by_project(own, tmp_path, tmp_path / "nowhere")
