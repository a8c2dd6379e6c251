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
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.kills import outcome_of
from recnas.errors import InputError
from recnas.search import run_search


@pytest.fixture(scope="module")
def settings() -> dict[str, Any]:
    return {
        "seed": 3,
        "strategy": "evolution",
        "checkpoint_seconds": 0.0,
        "warmup": {"amount": 2, "probe_candidates": 3, "probe_rows": 50, "optimization": {"batch_size": 512}},
        "proxy": {"score": "zico + fr - loss | jacov - brief", "shortlist": 4, "batch_size": 8, "brief_rows": 128},
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


@pytest.fixture(scope="module")
def undisturbed(data: Path, tmp_path_factory: pytest.TempPathFactory, settings: dict) -> Path:
    run = tmp_path_factory.mktemp("runs") / "undisturbed"
    run_search(data, run, progress=False, **settings)
    return run


class Stopped(BaseException):
    """Stands for the end of the process."""


def stop_at(monkeypatch: pytest.MonkeyPatch, place: str, count: int, after: bool = True) -> None:
    """Ends the process at the `count`th call of a function, after it or before it."""
    module, _, name = place.rpartition(".")
    owner = __import__(module, fromlist=["_"]) if module.islower() else None
    if owner is None:
        module, _, kind = module.rpartition(".")
        owner = getattr(__import__(module, fromlist=["_"]), kind)
    original: Callable[..., Any] = getattr(owner, name)
    calls = [0]

    def counting(*arguments: Any, **options: Any) -> Any:
        calls[0] += 1
        if calls[0] == count and not after:
            raise Stopped
        result = original(*arguments, **options)
        if calls[0] == count:
            raise Stopped
        return result

    monkeypatch.setattr(owner, name, counting)


# Each run is stopped at some places, one after the other: all stages, before and after what they write.
CHAINS = {
    "a": [
        ("recnas.search.folder.write_text", 1, False),
        ("recnas.train.warmup.PathLearner.step", 4, True),
        ("recnas.search.history.History.add", 6, True),
        # The shortlist takes eight steps, and each finalist two until one is dropped.
        ("recnas.train.loop.ModelLearner.step", 12, True),
        ("recnas.search.finals.keep_weights", 1, True),
    ],
    "b": [
        ("recnas.train.checkpoint.Checkpoint.remove", 1, False),
        # The history has eight lines, the shortlist four.
        ("recnas.search.history.History.add", 10, True),
        ("recnas.search.finalists.write_json", 3, True),
        # What says what is in the data was written before.
        ("recnas.search.run.write_json", 1, False),
    ],
    "c": [
        ("recnas.search.warming.write_json", 1, False),
        ("recnas.train.loop.ModelLearner.step", 16, True),
        ("recnas.search.finals.forget_state", 1, True),
    ],
}


@pytest.mark.parametrize("chain", CHAINS)
def test_a_run_stopped_anywhere_ends_as_if_it_had_not_been(
    undisturbed: Path, data: Path, tmp_path: Path, settings: dict, chain: str
) -> None:
    run = tmp_path / "run"

    def search() -> None:
        # The settings are the run's own, once it has any.
        run_search(data, run, progress=False, resume=True, **({} if (run / "config.yaml").exists() else settings))

    for place, count, after in CHAINS[chain]:
        with pytest.MonkeyPatch.context() as patch:
            stop_at(patch, place, count, after)
            with pytest.raises(Stopped):
                search()
        assert not (run / "results.json").exists()
    search()
    assert outcome_of(run) == outcome_of(undisturbed)


def test_a_finished_run_is_left_alone_and_needs_no_data(undisturbed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recnas.search.run.open_executor", None)
    before = {path: path.stat().st_mtime_ns for path in undisturbed.rglob("*")}
    results = run_search("gone", undisturbed, progress=False, resume=True, workers=2)
    assert results == json.loads((undisturbed / "results.json").read_text())
    assert {path: path.stat().st_mtime_ns for path in undisturbed.rglob("*")} == before


def stopped_in_the_search(data: Path, run: Path, settings: dict) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, "recnas.search.history.History.add", 6)
        with pytest.raises(Stopped):
            run_search(data, run, progress=False, **settings)
    return run


def test_a_line_cut_short_is_said_and_scored_again(
    undisturbed: Path, data: Path, tmp_path: Path, settings: dict, capfd: pytest.CaptureFixture[str]
) -> None:
    run = stopped_in_the_search(data, tmp_path / "run", settings)
    history = run / "history.jsonl"
    history.write_bytes(history.read_bytes()[:-40])
    run_search(data, run, resume=True)
    assert "history.jsonl: the last line was cut short; its candidate is scored again" in capfd.readouterr().err
    assert outcome_of(run) == outcome_of(undisturbed)


def test_what_does_not_fit_a_run_is_said(data: Path, tmp_path: Path, settings: dict) -> None:
    run = stopped_in_the_search(data, tmp_path / "run", settings)
    with pytest.raises(InputError, match=r"was begun with proxy\.batch_size 8, not 16; leave that setting out"):
        run_search(data, run, resume=True, progress=False, proxy={"batch_size": 16})
    with pytest.raises(InputError, match="--overwrite makes a run anew, --resume goes on with it"):
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
        (lines[1], r"jsonl:1: candidate .* where this search"),
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


def test_runs_killed_at_random_moments_end_alike_and_only_one_process_works_on_a_run(
    undisturbed: Path, data: Path, tmp_path: Path, settings: dict
) -> None:
    rng, run = random.Random(os.getpid()), tmp_path / "run"
    with pytest.MonkeyPatch.context() as patch:
        # The settings are written, and nothing else.
        stop_at(patch, "recnas.search.run.describe", 1, after=False)
        with pytest.raises(Stopped):
            run_search(data, run, progress=False, **settings)
    process = start(data, run, workers=1)
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
    _, error = process.communicate(timeout=120)
    assert process.returncode == 0, error
    assert outcome_of(run)["files"] == outcome_of(undisturbed)["files"]
    assert outcome_of(run) == outcome_of(undisturbed)
