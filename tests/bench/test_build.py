"""A table that is made: candidates are trained with every seed, and scored; a killed one is gone on with."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import recnas.bench
from recnas.bench.folder import CARD, TRAININGS
from recnas.util.errors import InputError
from recnas.util.files import read_json_lines
from tests.searches import data
from tests.stopping import Stopped, stop_at

__all__ = ["data"]

pytestmark = pytest.mark.slow
SETTINGS: dict[str, Any] = {
    "candidates": 5,
    "seeds": 2,
    "warmups": [0.0, 0.5],
    "proxies": ["jacov", "loss", "macs"],
    "progress": False,
    "final": {"epochs": 2},
    "warmup": {"probe_candidates": 0},
    "proxy": {"batch_size": 64},
}


def figures(frame: pd.DataFrame) -> pd.DataFrame:
    """What does not hang on the clock."""
    timed = [name for name in frame.columns if "seconds" in name or name == "latency_ms"]
    return frame.drop(columns=timed)


def same(one: pd.DataFrame, other: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(figures(one), figures(other))


def test_a_table_holds_every_training_and_score(data: Path, tmp_path: Path) -> None:
    table = recnas.bench.build(data, tmp_path / "run", **SETTINGS)
    assert len(table) == 5
    assert len(table.frame) == 10
    for candidate in table:
        assert candidate in table.space.joint
        whole = [table.query(candidate, seed=seed) for seed in (0, 1)]
        assert whole[0].validation != whole[1].validation
        for seed, outcome in enumerate(whole):
            early = table.query(candidate, 0.1, seed)
            assert early.fidelity < outcome.fidelity
            assert early.seconds < outcome.seconds
            assert outcome.finished
    # What no warm-up changes is measured once.
    assert set(table.proxies) == {"proxy:0:jacov", "proxy:0:loss", "proxy:0:macs", "proxy:0.5:jacov", "proxy:0.5:loss"}
    assert table.frame[table.proxies].notna().all().all()
    card = (tmp_path / "run" / CARD).read_text(encoding="utf-8")
    assert "5 random architectures of nasrec-wide" in card
    assert f"by recnas {version('recnas')}" in card
    assert not (tmp_path / "run" / "in-flight").exists()


def test_one_that_was_killed_ends_as_if_it_had_not_been_and_grows(data: Path, tmp_path: Path) -> None:
    whole = recnas.bench.build(data, tmp_path / "whole", **SETTINGS)
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, "recnas.bench.trainings.median_ms", 4)
        with pytest.raises(Stopped):
            recnas.bench.build(data, tmp_path / "run", **SETTINGS)
    done = tmp_path / "run" / TRAININGS
    assert len(read_json_lines(done)) == 3
    # A line that was cut short.
    done.write_bytes(done.read_bytes() + b'{"id": "cu')
    same(recnas.bench.build(data, tmp_path / "run", resume=True, progress=False).frame, whole.frame)
    larger = recnas.bench.build(data, tmp_path / "run", resume=True, progress=False, candidates=6)
    assert len(larger) == 6
    same(larger.frame.iloc[: len(whole.frame)], whole.frame)


def test_two_workers_make_the_same_table_of_recipes(data: Path, tmp_path: Path) -> None:
    given = SETTINGS | {"recipes_of": ["deepfm", "dcnv2"], "candidates": 4, "seeds": 1}
    alone, together = (
        recnas.bench.build(data, tmp_path / str(workers), workers=workers, **given) for workers in (1, 2)
    )
    same(alone.frame, together.frame.set_index("id").loc[alone.frame["id"]].reset_index())
    assert {candidate.network.name for candidate in alone} == {"deepfm", "dcnv2"}
    assert "proxy:0:jacov" in alone.proxies


def test_what_cannot_be_made_is_refused_in_one_line(data: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="families of networks are"):
        recnas.bench.build(data, tmp_path / "run", recipes_of=["lightgbm"])
    with pytest.raises(InputError, match="take one of them"):
        recnas.bench.build(data, tmp_path / "run", overwrite=True, resume=True)
    assert not (tmp_path / "run").exists()
