"""Ways to find joint ids, on rows in which one pair says all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

import recnas.data_prep
from benchmarks import joint_ids
from benchmarks.joint_ids import WAYS, planted


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    first, second, third = rng.integers(20, size=(3, 8_000))
    effects = np.where(rng.permutation(400) < 200, -2.0, 2.0)
    clicked = rng.random(8_000) < 1 / (1 + np.exp(-effects[20 * first + second]))
    frame = pl.DataFrame(
        {"clicked": clicked.astype(int)}
        | {name: [f"v{value}" for value in ids] for name, ids in (("a", first), ("b", second), ("c", third))}
    )
    folder = tmp_path_factory.mktemp("joint-ids") / "pair"
    recnas.data_prep.prepare("tabular", folder, input=frame, label="clicked", sparse=["a", "b", "c"], progress=False)
    return folder


@pytest.mark.parametrize("way", WAYS)
def test_each_way_finds_the_pair_that_says_all(data: Path, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("TREES", 40), ("BATCH", 64), ("PASSES", 10)):
        monkeypatch.setattr(joint_ids, name, value)
    assert set(WAYS[way](data, 0)[0].split(":")) == {"a", "b"}


def test_what_was_planted_is_known_of_synthetic_logs_alone(data: Path, tmp_path: Path) -> None:
    assert not planted(data)
    log = tmp_path / "log"
    recnas.data_prep.prepare("synthetic", log, rows=2_000, kind="interactions", progress=False)
    assert {len(group) for group in planted(log)} == {2, 3}
    assert frozenset(("C6", "C17")) in planted(log)
