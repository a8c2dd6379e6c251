"""Event files: each point once, whatever happened to the run."""

from __future__ import annotations

import importlib.util
import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from recnas.console import Console
from recnas.errors import InputError
from recnas.search import run_search, tensorboard
from recnas.search.tensorboard import followed

accumulator = pytest.importorskip(
    "tensorboard.backend.event_processing.event_accumulator", reason="needs the extra recnas[tensorboard]"
)
tensor_util = pytest.importorskip("tensorboard.util.tensor_util")


def points_of(run: Path) -> dict[str, dict[str, list[tuple[int, float]]]]:
    """By folder and name: where each point is on the horizontal axis, and its value."""
    found = {}
    for folder in (run / "tensorboard").iterdir():
        events = accumulator.EventAccumulator(str(folder), size_guidance={"tensors": 0}).Reload()
        found[folder.name] = {
            name: [(event.step, tensor_util.make_ndarray(event.tensor_proto).item()) for event in events.Tensors(name)]
            for name in events.Tags()["tensors"]
        }
    return found


def append(file: Path, *values: dict) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as lines:
        lines.write("".join(json.dumps(value) + "\n" for value in values))


def report(step: int) -> dict:
    return {"step": step, "rows": 10 * step, "loss": 1 / step, "rows_per_second": 100.0, "learning_rate": 0.5}


def candidate(score: float) -> dict:
    return {"score": score, "proxy": {"zico": 2 * score, "loss": 0.5}}


def test_what_a_run_writes_down_is_there_once_though_it_was_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tensorboard, "EVERY", 0.02)
    metrics, model = tmp_path / "supernet" / "metrics.jsonl", tmp_path / "retrain" / "abc"
    with followed(tmp_path, Console(False)):
        append(metrics, *[report(step) for step in (1, 2, 3)])
        time.sleep(0.1)
    with followed(tmp_path, Console(False)):
        time.sleep(0.1)
        # The process before had kept its state at step 1.
        metrics.with_name("new").write_text(json.dumps(report(1)) + "\n")
        metrics.with_name("new").replace(metrics)
        time.sleep(0.1)
        append(metrics, *[report(step) for step in (2, 3, 4)])
        levels = [{"rows": rows, "p10": 0.5, "median": 0.6, "p90": 0.7} for rows in (0, 40)]
        append(tmp_path / "supernet" / "warmup.json", {"levels": levels})
        append(tmp_path / "history.jsonl", candidate(1.0), candidate(3.0))
        time.sleep(0.1)
        append(tmp_path / "history.jsonl", candidate(2.0))
        append(tmp_path / "shortlist.jsonl", {"proxy": {"brief": 0.5}}, {"proxy": {"brief": 0.25}})
        append(model / "progress-0.05.jsonl", report(1), report(2))
        quality = {"log_loss": 0.5, "auc": 0.75}
        append(model / "metrics.jsonl", {"learning_rate": 0.05, "rows": 20, "validation": quality})
    points = points_of(tmp_path)
    assert points["search"]["warm-up/loss"] == [(10 * step, pytest.approx(1 / step)) for step in (1, 2, 3, 4)]
    assert points["search"]["warm-up/learning_rate"] == [(10 * step, 0.5) for step in (1, 2, 3, 4)]
    assert points["search"]["inherited log loss/median"] == [(0, pytest.approx(0.6)), (40, pytest.approx(0.6))]
    assert points["search"]["score/score"] == [(1, 1.0), (2, 3.0), (3, 2.0)]
    assert points["search"]["score/best so far"] == [(1, 1.0), (2, 3.0), (3, 3.0)]
    assert points["search"]["proxy/zico"] == [(1, 2.0), (2, 6.0), (3, 4.0)]
    assert points["search"]["shortlist/brief"] == [(1, 0.5), (2, 0.25)]
    assert points["abc at 0.05"] == {
        "final training/train_loss": [(10, 1.0), (20, 0.5)],
        "final training/validation_log_loss": [(20, 0.5)],
        "final training/validation_auc": [(20, 0.75)],
    }


@pytest.mark.parametrize("failures", [3, 10_000])
def test_points_that_could_not_be_written_come_later_and_no_search_fails_for_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], failures: int
) -> None:
    add, looks = tensorboard._Events._add, iter(range(1_000_000))

    def failing(*arguments: Any) -> None:
        if 4 <= next(looks) < 4 + failures:
            raise OSError(28, "No space left on device")
        add(*arguments)

    monkeypatch.setattr(tensorboard, "EVERY", 0.02)
    monkeypatch.setattr(tensorboard._Events, "_add", failing)
    with followed(tmp_path, Console(True)):
        append(tmp_path / "supernet" / "metrics.jsonl", *[report(step) for step in (1, 2, 3)])
        time.sleep(0.5)
    said = capsys.readouterr().err
    if failures == 3:
        assert said == ""
        assert points_of(tmp_path)["search"]["warm-up/learning_rate"] == [(10 * step, 0.5) for step in (1, 2, 3)]
    else:
        assert re.search(
            r"tensorboard: not complete \(.*No space left on device\); the same command with --resume", said
        )


def test_without_the_package_its_extra_is_named_before_anything_is_made(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda *name: None)
    with pytest.raises(InputError, match=r"pip install 'recnas\[tensorboard\]'"):
        run_search(data, tmp_path / "run", progress=False, tensorboard=True)
    assert list(tmp_path.iterdir()) == []
