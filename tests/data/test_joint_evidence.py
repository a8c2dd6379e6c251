"""Joint ids that are proposed: those that interact and no others, by training rows alone."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from recnas.cli import main
from recnas.data import Dataset, joint_evidence, propose_crosses
from recnas.features.feature import DenseFeature, SparseFeature
from recnas.features.inputs import Inputs
from recnas.features.schema import RAW_NUMBERS_SINCE, SPLITS, Schema

ROWS = 6000


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(0)


def write(folder: Path, columns: Mapping[str, pl.Series | np.ndarray], clicks: np.ndarray, **schema) -> Dataset:
    """A data set of some columns: floating-point numbers, ids and lists of ids; validation and test are of 4 rows."""
    frame = pl.DataFrame({"click": clicks.astype(np.int8)} | dict(columns))
    counts = {}
    for split in SPLITS:
        part = (
            frame
            if split == "train"
            else pl.DataFrame({"click": [0, 1, 0, 1]}, {"click": pl.Int8}).join(
                frame.head(1).drop("click"), how="cross"
            )
        )
        (folder / split).mkdir(parents=True)
        part.write_parquet(folder / split / "part-00000.parquet", row_group_size=1000)
        counts[split] = {"rows": len(part), "positives": int(part["click"].sum())}
    kinds = frame.drop("click").schema
    Schema(
        "click",
        tuple(DenseFeature(name, {"name": "none"}) for name, kind in kinds.items() if kind.is_float()),
        tuple(
            SparseFeature(name, 1000, multi_valued=isinstance(kind, pl.List))
            for name, kind in kinds.items()
            if not kind.is_float()
        ),
        counts,
        **schema,
    ).save(folder)
    return Dataset(folder)


def ids(random: np.random.Generator, different: int = 8) -> np.ndarray:
    return random.integers(different, size=ROWS, dtype=np.uint32)


def drawn(random: np.random.Generator, likely: np.ndarray) -> np.ndarray:
    """Clicks, of which 4 in 5 are where they are likely."""
    return random.random(len(likely)) < np.where(likely, 0.8, 0.2)


def crosses(dataset: Dataset, **options) -> list[str]:
    return [proposed.cross for proposed in propose_crosses(dataset, **options)]


def xor(*features: np.ndarray) -> np.ndarray:
    return np.sum([feature % 2 for feature in features], axis=0) % 2 == 1


def test_a_pair_that_tells_only_together_is_found_with_what_it_wins(tmp_path, random):
    a, b, c = (ids(random) for _ in range(3))
    dataset = write(tmp_path / "set", {"a": a, "b": b, "c": c}, drawn(random, xor(a, b)))
    (found,) = propose_crosses(dataset)
    assert (found.cross, found.values) == ("a:b", 64)
    # From log 2 to the entropy of 4 in 5.
    assert found.gain == pytest.approx(0.693 - 0.5, abs=0.02)
    assert Inputs(crosses=(found.cross,)).crosses == ("a:b",)


def test_two_features_are_enough(tmp_path, random):
    a, b = ids(random), ids(random)
    assert crosses(write(tmp_path / "set", {"a": a, "b": b}, drawn(random, xor(a, b)))) == ["a:b"]


def test_a_triple_is_found_of_which_no_pair_tells_anything(tmp_path, random):
    a, b, c, d = (ids(random, 4) for _ in range(4))
    dataset = write(tmp_path / "set", {"a": a, "b": b, "c": c, "d": d}, drawn(random, xor(b, c, d)))
    assert crosses(dataset) == ["b:c:d"]


@pytest.mark.parametrize("different", [8, 80])
def test_a_pair_comes_before_the_triple_that_adds_to_it(tmp_path, random, different):
    # Of 80 values a triple wins less than the pair, until this is known.
    a, b, c = ids(random, 4), ids(random, 4), ids(random, different)
    likely = np.where(c < different // 8, ~xor(a, b), xor(a, b))
    assert crosses(write(tmp_path / "set", {"a": a, "b": b, "c": c}, drawn(random, likely))) == ["a:b", "a:b:c"]


def test_numbers_count_by_their_bins_and_a_missing_one_as_a_value(tmp_path, random):
    x, y = random.normal(size=ROWS), random.normal(size=ROWS)
    x[ids(random, 3) == 0] = np.nan
    likely = np.where(np.isnan(x), y > 0, (x > 0) != (y > 0))
    columns = {"x": pl.Series(x, nan_to_null=True), "y": y, "a": ids(random)}
    assert crosses(write(tmp_path / "set", columns, drawn(random, likely)), most=1) == ["x:y"]


def test_a_missing_id_is_a_value(tmp_path, random):
    a, b = ids(random, 3), ids(random, 2)
    columns = {"a": pl.Series([None if value == 0 else value for value in a.tolist()], dtype=pl.UInt32), "b": b}
    assert crosses(write(tmp_path / "set", columns, drawn(random, (a == 0) != (b == 0)))) == ["a:b"]


@pytest.mark.parametrize("seed", range(5))
def test_where_nothing_interacts_nothing_is_proposed(tmp_path, seed):
    random = np.random.default_rng(seed)
    columns = {name: ids(random, size) for name, size in zip("abcdef", (2, 8, 30, 100, 300, 900), strict=True)}
    score = sum(random.normal(size=1000)[column] for column in columns.values()) + (x := random.normal(size=ROWS))
    # A feature that says the same as another, and two that a third one knows.
    columns |= {"x": x, "g": columns["d"].copy(), "h": columns["d"] // np.uint32(10), "i": columns["d"] % np.uint32(10)}
    assert crosses(write(tmp_path / "set", columns, random.random(ROWS) < 1 / (1 + np.exp(-score)))) == []


def test_only_training_rows_are_read(tmp_path, random):
    a, b = ids(random), ids(random)
    dataset = write(tmp_path / "set", {"a": a, "b": b}, drawn(random, xor(a, b)))
    for split in ("validation", "test"):
        (dataset.path / split / "part-00000.parquet").write_bytes(b"")
    assert crosses(dataset) == ["a:b"]


def test_the_same_seed_gives_the_same_figures(tmp_path, random):
    a, b, c = (ids(random) for _ in range(3))
    dataset = write(tmp_path / "set", {"a": a, "b": b, "c": c}, drawn(random, xor(a, b) | xor(b, c)))
    first = propose_crosses(dataset, seed=1)
    assert first == propose_crosses(Dataset(dataset.path), seed=1)
    other = propose_crosses(dataset, seed=2)
    # Other folds, not just sums in another order.
    assert [item.gain for item in first] != pytest.approx([item.gain for item in other], rel=1e-3)


def test_as_many_are_proposed_as_are_wanted_and_the_best_comes_first(tmp_path, random):
    a, b, c, d = (ids(random) for _ in range(4))
    score = np.where(xor(a, b), 0.5, -0.5) + np.where(xor(c, d), 1, -1)
    dataset = write(tmp_path / "set", {"a": a, "b": b, "c": c, "d": d}, random.random(ROWS) < 1 / (1 + np.exp(-score)))
    assert crosses(dataset) == ["c:d", "a:b"]
    assert crosses(dataset, most=1) == ["c:d"]


def test_fewer_rows_are_spread_evenly(tmp_path, random):
    # Of the first half alone nothing could be told.
    a, b = ids(random), ids(random)
    likely = np.where(np.arange(ROWS) < ROWS // 2, random.random(ROWS) < 0.5, xor(a, b))
    (found,) = propose_crosses(write(tmp_path / "set", {"a": a, "b": b}, drawn(random, likely)), rows=ROWS // 4)
    assert found.cross == "a:b"


def test_lists_constants_and_what_cannot_be_named_have_no_joint_ids(tmp_path, random):
    a, b = ids(random), ids(random)
    columns = {
        "a": a,
        "list": pl.Series([[value] for value in b.tolist()], dtype=pl.List(pl.UInt32)),
        "same": np.full(ROWS, 7, dtype=np.uint32),
        "none": pl.Series([None] * ROWS, dtype=pl.Float64),
        "a:b": b,
    }
    assert crosses(write(tmp_path / "set", columns, drawn(random, xor(a, b)))) == []


def test_numbers_that_a_data_set_has_transformed_only_have_no_joint_ids(tmp_path, random):
    a, b, x = ids(random), ids(random), random.normal(size=ROWS).astype(np.float32)
    likely = xor(a, b) ^ (x > 0)
    dataset = write(tmp_path / "set", {"a": a, "b": b, "x": x}, drawn(random, likely), version=RAW_NUMBERS_SINCE - 1)
    assert crosses(dataset) == []


@pytest.mark.parametrize("rows", [2, 5, 40])
def test_of_few_rows_nothing_can_be_told(tmp_path, random, rows):
    a, b = ids(random)[:rows], ids(random)[:rows]
    clicks = np.arange(rows) % 2
    assert crosses(write(tmp_path / "set", {"a": a, "b": b}, clicks)) == []


def test_of_many_features_those_that_tell_most_by_themselves_are_looked_at(tmp_path, random, monkeypatch):
    monkeypatch.setattr(joint_evidence, "MOST_FEATURES", 4)
    a, b = ids(random), ids(random)
    columns = {f"other {place}": ids(random) for place in range(20)} | {"a": a, "b": b}
    assert crosses(write(tmp_path / "set", columns, drawn(random, (a < 3) & (b < 3)))) == ["a:b"]


def test_many_candidates_are_gone_through_with_fewer_rows(tmp_path, random, monkeypatch):
    # All 15 pairs with a quarter of the rows.
    monkeypatch.setattr(joint_evidence, "VISITS", 15 * ROWS // 4)
    monkeypatch.setattr(joint_evidence, "RESCORED", 3)
    columns = {name: ids(random) for name in "abcdef"}
    dataset = write(tmp_path / "set", columns, drawn(random, xor(columns["b"], columns["e"])))
    assert crosses(dataset) == ["b:e"]


def test_with_no_time_nothing_is_proposed_and_with_enough_the_same_as_without_a_limit(tmp_path, random):
    a, b = ids(random), ids(random)
    dataset = write(tmp_path / "set", {"a": a, "b": b}, drawn(random, xor(a, b)))
    started = time.monotonic()
    assert propose_crosses(dataset, seconds=0) == []
    assert time.monotonic() - started < 10
    assert propose_crosses(dataset, seconds=600) == propose_crosses(dataset)


def test_the_command_line_lists_them(tmp_path, random, capsys):
    a, b, c = (ids(random) for _ in range(3))
    folder = write(tmp_path / "set", {"a": a, "b": b, "c": c}, drawn(random, xor(a, b))).path
    assert main(["describe", str(folder), "--joint-ids"]) == 0
    (proposed,) = propose_crosses(Dataset(folder))
    name, values, gain = capsys.readouterr().out.splitlines()[-1].split()
    assert (name, int(values), float(gain)) == ("a:b", 64, pytest.approx(proposed.gain, abs=1e-5))
    assert main(["describe", str(folder), "--joint-ids", "--json"]) == 0
    (told,) = json.loads(capsys.readouterr().out)["joint_ids"]
    assert told == {"cross": "a:b", "gain": proposed.gain, "share": proposed.share, "values": 64}
    assert 0 < proposed.share < 1
    assert (
        main(["describe", str(write(tmp_path / "none", {"a": a, "b": b}, drawn(random, a > 3)).path), "--joint-ids"])
        == 0
    )
    assert capsys.readouterr().out.endswith("no features interact, as far as can be told from chance\n")
