"""A run that was stopped, at whatever moment, ends as one that was left alone."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks.kills import outcome_of
from recnas.search import run_search
from recnas.search.exploring import Exploring
from recnas.search.final_training import FinalTraining
from recnas.search.stage import Stage
from recnas.util.errors import InputError
from tests.stopping import Stopped, stop_at


@pytest.fixture(scope="module")
def settings() -> dict[str, Any]:
    return {
        "seed": 3,
        "strategy": "evolution",
        "checkpoint_seconds": 0.0,
        # Two passes of two steps; of what is kept of a warm-up a step writes 160 MB.
        "warmup": {"amount": 2, "probe_candidates": 3, "probe_rows": 50, "optimization": {"batch_size": 700}},
        "proxy": {
            "score": "zico + fr - loss | jacov - short_training",
            "rerank": 4,
            "batch_size": 8,
            "short_training_rows": 128,
        },
        "evolution": {"population": 4, "iterations": 2, "tournament": 3, "children": 2},
        "final": {
            # The first of them is dropped in the middle of a pass, after two of six steps.
            "top_k": 3,
            "strategy": "halving",
            "epochs": 2,
            "other_learning_rates": [0.02],
            "optimization": {"learning_rate": 0.05, "batch_size": 400},
        },
    }


SEARCH, FINAL_TRAINING = "search", "final training"


@pytest.fixture(scope="module")
def moments(data: Path, tmp_path_factory: pytest.TempPathFactory, settings: dict) -> dict[str, Path]:
    """What a kill would leave of a run at the beginning of some stages, and its `end`."""
    folder = tmp_path_factory.mktemp("runs")
    left = {moment: folder / moment for moment in (SEARCH, FINAL_TRAINING, "end")}

    def copy_before(patch: pytest.MonkeyPatch, stage: type[Stage]) -> None:
        original = stage.run

        def copy_and_go_on(*arguments: Any) -> None:
            shutil.copytree(left["end"], left[stage.name])
            original(*arguments)

        patch.setattr(stage, "run", copy_and_go_on)

    with pytest.MonkeyPatch.context() as patch:
        for stage in (Exploring, FinalTraining):
            copy_before(patch, stage)
        run_search(data, left["end"], progress=False, **settings)
    return left


@pytest.fixture(scope="module")
def undisturbed(moments: dict[str, Path]) -> Path:
    """A run that was left alone."""
    return moments["end"]


STOPS = {
    "warm-up": [
        ("recnas.runs.folder.write_text", 1, False),
        ("recnas.train.warmup.PathLearner.step", 3, True),
        ("recnas.search.warmup_stage.write_json", 1, False),
        ("recnas.train.checkpoint.Checkpoint.remove", 1, False),
    ],
    # The history has eight lines of the search, four of the re-ranking: of its short trainings, of two steps each, one
    # may have ended when the third step has.
    SEARCH: [
        ("recnas.runs.history.History.add", 6, True),
        ("recnas.train.loop.ModelLearner.step", 3, True),
        ("recnas.runs.history.History.add", 2, True),
    ],
    FINAL_TRAINING: [
        # In the second finalist's first rung, and in the second rung.
        ("recnas.train.loop.ModelLearner.step", 3, True),
        ("recnas.runs.models.ModelFolder.record", 2, True),
        ("recnas.runs.models.ModelFolder.drop_weights", 1, True),
        ("recnas.train.loop.ModelLearner.step", 6, True),
        ("recnas.runs.history.History.add", 1, True),
        ("recnas.search.final_training.write_json", 1, True),
        ("recnas.search.run.write_json", 1, False),
    ],
}
"""By the stage that they begin in, where a run is stopped, each time once it has gone on from the stop before."""


@pytest.mark.parametrize("stage", STOPS)
def test_a_run_stopped_anywhere_ends_as_if_it_had_not_been(
    moments: dict[str, Path], undisturbed: Path, data: Path, tmp_path: Path, settings: dict, stage: str
) -> None:
    run = tmp_path / "run"
    if stage in moments:
        shutil.copytree(moments[stage], run)

    def go_on() -> None:
        # The settings are the run's own, once it has any.
        run_search(data, run, progress=False, resume=True, **({} if (run / "config.yaml").exists() else settings))

    for place, call, after in STOPS[stage]:
        with pytest.MonkeyPatch.context() as patch:
            stop_at(patch, place, call, after)
            with pytest.raises(Stopped, match=place):
                go_on()
        assert not (run / "results.json").exists()
    go_on()
    assert outcome_of(run) == outcome_of(undisturbed)


def test_a_finished_run_is_left_alone_and_needs_no_data(undisturbed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recnas.search.run.open_executor", None)
    before = {path: path.stat().st_mtime_ns for path in undisturbed.rglob("*")}
    results = run_search("gone", undisturbed, progress=False, resume=True, workers=2)
    assert results == json.loads((undisturbed / "results.json").read_text())
    assert {path: path.stat().st_mtime_ns for path in undisturbed.rglob("*")} == before


@pytest.fixture
def stopped_in_the_search(moments: dict[str, Path], data: Path, tmp_path: Path) -> Path:
    run = tmp_path / "run"
    shutil.copytree(moments[SEARCH], run)
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, "recnas.runs.history.History.add", 6)
        with pytest.raises(Stopped):
            run_search(data, run, progress=False, resume=True)
    return run


def test_a_line_cut_short_is_said_and_scored_again(
    undisturbed: Path, stopped_in_the_search: Path, data: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = stopped_in_the_search
    history = run / "history.jsonl"
    history.write_bytes(history.read_bytes()[:-40])
    run_search(data, run, resume=True)
    assert "history.jsonl: the last line was cut short; its candidate is evaluated again" in capfd.readouterr().err
    assert outcome_of(run) == outcome_of(undisturbed)


def test_what_does_not_fit_a_run_is_said(stopped_in_the_search: Path, data: Path, tmp_path: Path) -> None:
    run = stopped_in_the_search
    with pytest.raises(InputError, match=r"was begun with proxy\.batch_size 8, not 16; leave that setting out"):
        run_search(data, run, resume=True, progress=False, proxy={"batch_size": 16})
    with pytest.raises(InputError, match="--overwrite makes a run anew, --resume resumes it"):
        run_search(data, run, resume=True, overwrite=True, progress=False)
    other = tmp_path / "data"
    shutil.copytree(data, other)
    schema = json.loads((other / "schema.json").read_text())
    schema["source"]["fingerprint"] = "another"
    (other / "schema.json").write_text(json.dumps(schema))
    with pytest.raises(InputError, match="was begun with another data set"):
        run_search(other, run, resume=True, progress=False)
    history = run / "history.jsonl"
    lines = history.read_text().splitlines()
    for damaged, message in (
        (lines[0][:-9], r"jsonl:1: damaged"),
        (lines[1], r"jsonl:1: search, .* where this run asks for search, "),
    ):
        history.write_text("\n".join([damaged, *lines[1:]]) + "\n")
        with pytest.raises(InputError, match=message):
            run_search(data, run, resume=True, progress=False)
    (run / "config.yaml").write_text((run / "config.yaml").read_text().replace("version: ", "version: 9"))
    with pytest.raises(InputError, match=r"was begun with recnas 9"):
        run_search(data, run, resume=True, progress=False)


def test_a_damaged_checkpoint_is_named(data: Path, tmp_path: Path, settings: dict) -> None:
    run = tmp_path / "run"
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, "recnas.train.checkpoint.Checkpoint.save", 2)
        with pytest.raises(Stopped):
            run_search(data, run, progress=False, **settings)
    (path,) = (run / "supernet" / "checkpoint").rglob("*.safetensors")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"checkpoint/\d+: damaged .* without this folder its training starts anew"):
        run_search(data, run, resume=True, progress=False)


def start(data: Path, run: Path, workers: int) -> subprocess.Popen[bytes]:
    code = "import sys; from recnas.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "search", "--data", data, "--run", run, "--resume", "--quiet"]
    return subprocess.Popen([*map(str, command), "--workers", str(workers)], stderr=subprocess.PIPE)


@pytest.mark.slow
def test_runs_killed_at_random_moments_end_alike_and_only_one_process_works_on_a_run(
    undisturbed: Path, data: Path, tmp_path: Path, settings: dict
) -> None:
    seed = int(os.environ.get("RECNAS_KILL_SEED", os.getpid()))
    print(f"the moments are those of RECNAS_KILL_SEED={seed}")
    rng, run = random.Random(seed), tmp_path / "run"
    with pytest.MonkeyPatch.context() as patch:
        # The settings are written, and nothing else.
        stop_at(patch, "recnas.search.run.describe", 1, after=False)
        with pytest.raises(Stopped):
            run_search(data, run, progress=False, **settings)
    process = start(data, run, workers=1)
    try:
        while not (run / "supernet").exists():
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.05)
        with pytest.raises(InputError, match="another process is at work on this run"):
            run_search(data, run, resume=True, progress=False)
        for _ in range(2):
            time.sleep(rng.uniform(0, 4))
            process.send_signal(signal.SIGKILL)
            process.communicate()
            process = start(data, run, workers=1)
            time.sleep(4)
        # However busy the machine is.
        _, error = process.communicate(timeout=400)
    finally:
        process.kill()
    assert process.returncode == 0, error
    assert outcome_of(run)["files"] == outcome_of(undisturbed)["files"]
    assert outcome_of(run) == outcome_of(undisturbed)
