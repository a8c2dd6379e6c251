"""Where a data set appears, when, and what stands in its way."""

import errno
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

from recnas.data import Dataset
from recnas.data_prep import RECIPES, prepare
from recnas.data_prep.bad_rows import BadRows
from recnas.data_prep.engine import ROW_GROUP_ROWS, RawTable, group_rows, write_data_set
from recnas.data_prep.split import AutoCTRSplit
from recnas.features.feature import DenseFeature, SparseFeature
from recnas.features.schema import SPLITS, Schema
from recnas.util.errors import InputError, RunError


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_the_folder_holds_the_data_set_and_nothing_else(tmp_path, train_txt):
    prepare("criteo", tmp_path / "data" / "out", train_txt)
    assert sorted(_contents(tmp_path / "data")) == [
        "out/schema.json", "out/test/part-00000.parquet", "out/train/part-00000.parquet",
        "out/validation/part-00000.parquet",
    ]  # fmt: skip


def test_preparing_twice_gives_the_same_bytes(tmp_path, train_txt):
    prepare("criteo", tmp_path / "a", train_txt)
    prepare("criteo", tmp_path / "b", train_txt)
    assert _contents(tmp_path / "a") == _contents(tmp_path / "b")


def test_a_data_set_is_replaced_only_when_asked(tmp_path, train_txt, criteo_lines):
    prepare("criteo", tmp_path / "out", train_txt)
    before = _contents(tmp_path / "out")
    train_txt.write_text("\n".join(criteo_lines(300, seed=1)))
    with pytest.raises(InputError, match="out: the data set is there already; --overwrite replaces it"):
        prepare("criteo", tmp_path / "out", train_txt)
    assert _contents(tmp_path / "out") == before
    assert prepare("criteo", tmp_path / "out", train_txt, overwrite=True).rows("train") == 240
    assert Dataset(tmp_path / "out").rows("train") == 240
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "train.txt"]


def test_a_failure_leaves_the_old_data_set_as_it_was(tmp_path, train_txt):
    prepare("criteo", tmp_path / "out", train_txt)
    before = _contents(tmp_path / "out")
    train_txt.write_text("x")
    with pytest.raises(InputError):
        prepare("criteo", tmp_path / "out", train_txt, overwrite=True)
    assert _contents(tmp_path / "out") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "train.txt"]


def test_a_folder_that_is_not_a_data_set_is_never_replaced(tmp_path, train_txt):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.txt").write_text("…")
    for output in (tmp_path / "home", train_txt):
        with pytest.raises(InputError, match="is there already and is not a data set; choose another --output"):
            prepare("criteo", output, train_txt, overwrite=True)
    assert (tmp_path / "home" / "thesis.txt").exists()


def test_an_empty_folder_is_filled(tmp_path, train_txt):
    (tmp_path / "out").mkdir()
    prepare("criteo", tmp_path / "out", train_txt)
    assert Dataset(tmp_path / "out").rows("train") == 160


def test_an_output_below_a_file_is_refused(tmp_path, train_txt):
    with pytest.raises(InputError, match="cannot be made"):
        prepare("criteo", train_txt / "out", train_txt)


def test_a_killed_run_leaves_no_data_set_and_does_not_block_the_next(tmp_path, train_txt):
    code = (
        "import sys, time, recnas.data_prep.engine as engine; from recnas.data_prep import prepare\n"
        "engine._transformed = lambda *_: (print('there', flush=True), time.sleep(60))\n"
        "prepare('criteo', sys.argv[1], sys.argv[2])"
    )
    output = tmp_path / "out"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(output), str(train_txt)],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    ) as process:
        assert process.stdout.readline() == b"there\n"
        with pytest.raises(InputError, match="another process is preparing it"):
            prepare("criteo", output, train_txt)
        process.send_signal(signal.SIGKILL)
    assert not output.exists()
    assert (tmp_path / ".out.partial" / "stage").exists()
    prepare("criteo", output, train_txt)
    assert Dataset(output).rows("train") == 160
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "train.txt"]


def test_a_full_disk_is_said_in_one_line_and_leaves_nothing(tmp_path, train_txt, monkeypatch):
    def full(*_args, **_kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pl.DataFrame, "write_parquet", full)
    with pytest.raises(RunError, match="out: the disk is full; free some space or choose another --output"):
        prepare("criteo", tmp_path / "out", train_txt)
    assert [path.name for path in tmp_path.iterdir()] == ["train.txt"]


def test_an_unknown_recipe_or_policy_is_refused(tmp_path, train_txt):
    with pytest.raises(InputError, match="there is no recipe 'crito'; take one of criteo, avazu, kdd, movielens"):
        prepare("crito", tmp_path / "out", train_txt)
    with pytest.raises(InputError, match="--on-bad-row drop is none of error, skip"):
        prepare("criteo", tmp_path / "out", train_txt, on_bad_row="drop")


def test_every_recipe_has_one_line_of_help():
    assert all(recipe.help and "\n" not in recipe.help for recipe in RECIPES.values())


def _write(folder: Path, table: RawTable) -> Schema:
    return write_data_set(folder, table, AutoCTRSplit("y"), BadRows(folder, "error"))


def _table(chunks: list[pl.DataFrame], dense: dict[str, str]) -> RawTable:
    return RawTable("y", dense, iter(chunks), [SparseFeature("id", 1000)], {"name": "own"})


def _chunks(count: int, size: int) -> list[pl.DataFrame]:
    random = np.random.default_rng(0)
    return [
        pl.DataFrame(
            {
                "y": (random.random(size) < 0.5).astype(np.int8),
                "x": [None if number % 7 == 0 else float(number) for number in range(start, start + size)],
                "id": np.arange(start, start + size, dtype=np.uint32),
            }
        )
        for start in range(0, count * size, size)
    ]


def test_large_splits_have_several_parts_of_whole_row_groups(tmp_path, monkeypatch):
    monkeypatch.setattr("recnas.data_prep.engine.ROW_GROUP_ROWS", 16)
    monkeypatch.setattr("recnas.data_prep.engine.PART_ROWS", 64)
    _write(tmp_path, _table(_chunks(40, 25), {"x": "log1p"}))
    parts = sorted((tmp_path / "train").iterdir())
    assert [part.name for part in parts] == [f"part-{number:05d}.parquet" for number in range(13)]
    sizes = []
    for part in parts:
        metadata = pq.read_metadata(part)
        sizes.append([metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)])
    assert sizes[:-1] == [[16, 16, 16, 16]] * 12
    assert sum(map(sum, sizes)) == 800
    ids = [value for part in parts for value in pl.read_parquet(part)["id"]]
    assert ids == sorted(ids)


def test_a_wide_tables_parts_are_kept_small(tmp_path, monkeypatch):
    monkeypatch.setattr("recnas.data_prep.engine.ROW_GROUP_ROWS", 16)
    monkeypatch.setattr("recnas.data_prep.engine.PART_BYTES", 100)
    _write(tmp_path, _table(_chunks(10, 25), {}))
    assert len(list((tmp_path / "train").iterdir())) > 5
    assert Dataset(tmp_path).rows("train") == 200


def test_row_groups_of_wide_rows_have_fewer_in_whole_thousands():
    assert group_rows(200) == ROW_GROUP_ROWS
    assert group_rows(12_000) == 5 * 1024
    assert group_rows(1 << 30) == 1024


def test_a_wide_tables_row_groups_are_kept_small(tmp_path, monkeypatch):
    monkeypatch.setattr("recnas.data_prep.engine.ROW_GROUP_BYTES", 6 << 10)
    _write(tmp_path, _table(_chunks(10, 500), {}))
    metadata = pq.read_metadata(tmp_path / "train" / "part-00000.parquet")
    sizes = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
    assert sizes == [1024, 1024, 1024, 928]
    assert Dataset(tmp_path).rows("train") == 4000


def test_mean_and_deviation_are_the_training_splits_however_the_rows_come(tmp_path):
    transforms = []
    for size in (600, 10):
        folder = tmp_path / str(size)
        folder.mkdir()
        chunks = _chunks(1, 600)[0].iter_slices(size)
        schema = _write(folder, _table(list(chunks), {"x": "standardize"}))
        transforms.append(schema.dense[0].transform)
    train = pl.read_parquet(tmp_path / "600" / "train" / "*.parquet")["id"].to_numpy()
    present = train[train % 7 != 0].astype(float)
    for transform in transforms:
        assert transform["mean"] == pytest.approx(present.mean())
        assert transform["std"] == pytest.approx(present.std())


def test_a_constant_and_an_empty_column_become_0(tmp_path):
    chunk = _chunks(1, 200)[0].with_columns(x=pl.lit(5.0), z=pl.lit(None, dtype=pl.Float64))
    schema = write_data_set(
        tmp_path,
        _table([chunk], {"x": "standardize", "z": "standardize"}),
        AutoCTRSplit("y"),
        BadRows(tmp_path, "error"),
    )
    assert schema.dense[0] == DenseFeature("x", {"name": "standardize", "mean": 5.0, "std": 1.0})
    for split in SPLITS:
        rows = pl.read_parquet(tmp_path / split / "*.parquet")
        assert rows.select(pl.col("x").eq(5).all(), pl.col("z").is_null().all()).row(0) == (True, True)
        assert not schema.dense[0].apply(rows["x"].to_numpy()).any()
        assert not schema.dense[1].apply(rows["z"].to_numpy()).any()


@pytest.mark.parametrize("rows", [60, 100, 130, 170, 700])
def test_a_constant_is_not_divided_by_rounding(tmp_path, rows):
    chunk = _chunks(1, rows)[0].with_columns(x=pl.lit(0.1))
    schema = _write(tmp_path, _table(list(chunk.iter_slices(7)), {"x": "standardize"}))
    assert schema.dense[0].transform == {"name": "standardize", "mean": 0.1, "std": 1.0}
    assert not schema.dense[0].apply(pl.read_parquet(tmp_path / "train" / "*.parquet")["x"].to_numpy()).any()


@pytest.mark.parametrize("kind", ["none", "standardize"])
def test_a_number_beyond_float32_is_its_largest(tmp_path, kind):
    chunk = _chunks(1, 200)[0].with_columns(x=pl.Series([1e300, -1e300, *([0.5] * 198)]))
    schema = _write(tmp_path, _table([chunk], {"x": kind}))
    values = pl.concat([pl.read_parquet(tmp_path / split / "*.parquet")["x"] for split in SPLITS])
    assert np.isfinite(schema.dense[0].apply(values.to_numpy())).all()


def test_a_recipe_that_gives_an_infinite_number_is_told_so(tmp_path):
    chunk = _chunks(1, 200)[0].with_columns(x=pl.Series([math.inf, *([0.5] * 199)]))
    with pytest.raises(InputError, match="x is infinite in some row; a recipe leaves such a row out, or the number"):
        _write(tmp_path, _table([chunk], {"x": "none"}))


def test_splits_that_cannot_be_learned_from_are_refused(tmp_path, train_txt, criteo_lines):
    few = tmp_path / "few.txt"
    few.write_text("\n".join(criteo_lines(5)) + "\n")
    with pytest.raises(InputError, match="every label of the validation split would be 0; give more rows"):
        prepare("criteo", tmp_path / "out", few, split="time")
    with pytest.raises(InputError, match="split would be empty; give more rows"):
        prepare("criteo", tmp_path / "out", train_txt, split="hash", split_by=["label"])
    train_txt.write_text("\n".join("0" + line[1:] for line in criteo_lines(300)) + "\n")
    with pytest.raises(InputError, match="every label of the train split would be 0; give more rows"):
        prepare("criteo", tmp_path / "out", train_txt, split="hash")
    for seed in (-1, 2**32):
        with pytest.raises(InputError, match=f"--split-seed {seed}: it must be from 0"):
            prepare("criteo", tmp_path / "out", train_txt, split_seed=seed)
    assert not (tmp_path / "out").exists()


def test_a_full_disk_that_polars_finds_is_said_too(tmp_path, train_txt, monkeypatch):
    def fail(*_, **__):
        raise pl.exceptions.ComputeError("No space left on device (os error 28)")

    monkeypatch.setattr(pl.DataFrame, "write_parquet", fail)
    with pytest.raises(RunError, match="the disk is full"):
        prepare("criteo", tmp_path / "out", train_txt)
    assert [path.name for path in tmp_path.iterdir()] == ["train.txt"]
