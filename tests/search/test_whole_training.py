"""Every strategy that trains each candidate in whole, end to end: its run, its report, and a kill."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import recnas
from recnas.candidates.candidate import network_id_in
from recnas.report import write_report
from recnas.runs.status import read_status
from tests.searches import data, read_lines_of
from tests.stopping import Stopped, stop_at
from tests.strategies.whole_trainings import NAMES

__all__ = ["data"]

SETTINGS: dict[str, Any] = {
    "space": "lr,dnn",
    "limits": {"max_macs": 300_000},
    "seed": 3,
    "checkpoint_seconds": 0.0,
    "final": {"epochs": 2, "evaluations": 1, "ensemble": 1, "optimization": {"batch_size": 512}},
}
FAST = ("bananas",)
"""For every change; the others have the same loop."""
BUDGET = 12
"""Two more than what any of them draws before it learns."""


def lines_of(run: Path) -> list[tuple[str, float, str]]:
    """The history, without what a clock says."""
    return [(line["id"], line["score"], line["source"]) for line in read_lines_of(run / "history.jsonl")]


@pytest.mark.parametrize(
    "name", [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in NAMES]
)
def test_its_run_is_as_others_are_and_after_a_kill_ends_as_if_there_had_been_none(
    tmp_path: Path, data: Path, name: str
) -> None:
    results = recnas.search(data, tmp_path / "whole", strategy=name, budget=f"{BUDGET}c", progress=False, **SETTINGS)
    history = lines_of(tmp_path / "whole")
    assert len(history) == len({line[0] for line in history}) == BUDGET
    assert results["best"] == network_id_in(max(history, key=lambda line: line[1])[0])
    assert read_status(tmp_path / "whole").stages == ("search", "final training", "test")
    assert write_report(tmp_path / "whole").exists()
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, "recnas.runs.history.History.add", BUDGET - 2)
        with pytest.raises(Stopped):
            recnas.search(data, tmp_path / "run", strategy=name, budget=f"{BUDGET}c", progress=False, **SETTINGS)
    assert len(lines_of(tmp_path / "run")) == BUDGET - 2
    recnas.search(data, tmp_path / "run", resume=True, progress=False)
    assert lines_of(tmp_path / "run") == history
