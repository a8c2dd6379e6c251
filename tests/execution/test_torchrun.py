"""A search of two processes, as `torchrun` starts them, and of one."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from recnas.data import Dataset
from recnas.train.metrics import quality_of
from tests.searches import history_of

pytestmark = pytest.mark.slow

FLAGS = {
    "--space": "nasrec-small",
    "--proxy": "jacov",
    "--strategy": "evolution",
    "--proxy-batch-size": "16",
    "--population": "6",
    "--iterations": "2",
    "--tournament": "3",
    "--children": "2",
    "--top-k": "2",
    "--learning-rate": "0.01",
    "--other-learning-rates": "0.02",
    "--fan-in-scale": "16",
    "--baselines": "lr",
    "--finalists": "halving",
    "--cross": "user:item",
    # Each process has dropout masks of its own.
    "--dropout": "0",
}


ROOT = Path(__file__).parents[2]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]


class Ended(NamedTuple):
    """How a process ended, and what it said."""

    code: int
    out: str
    err: str


Search = Callable[..., list[Ended]]


def flags_of(data: Path, run: Path, more: dict[str, str]) -> list[str]:
    given = {"--data": str(data), "--run": str(run)} | FLAGS | more
    return ["search", *(text for pair in given.items() for text in pair if text)]


def torchrun(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    # What follows `--` is recnas': `--run` looks like one of torchrun's own flags.
    return subprocess.run([*TORCHRUN, "-m", "--", "recnas", *arguments], capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def search() -> Iterator[Search]:
    """Searches in some processes: `search(2, data, run, {"--seed": "1"})`."""
    command = [sys.executable, "-m", "tests.search.forks"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as forks:

        def search(size: int, data: Path, run: Path, more: dict[str, str] | None = None) -> list[Ended]:
            print(json.dumps([size, flags_of(data, run, more or {})]), file=forks.stdin, flush=True)
            return [Ended(*ended) for ended in json.loads(forks.stdout.readline())]

        yield search
        forks.stdin.close()


@pytest.fixture(scope="module")
def together(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search of two processes that has ended; tests only look at it."""
    run = tmp_path_factory.mktemp("runs") / "two"
    ended = torchrun(flags_of(data, run, {}))
    assert ended.returncode == 0, ended.stderr
    assert sum(line.endswith("<- best") for line in ended.stdout.splitlines()) == 1, "one of the processes prints"
    return run


def test_two_processes_find_what_one_finds(data: Path, tmp_path: Path, search: Search, together: Path) -> None:
    one, two = tmp_path / "one", together
    (alone,) = search(1, data, one)
    assert alone.code == 0, alone.err

    def explored(run: Path) -> list[tuple[str, float]]:
        return [(line["id"], line["score"]) for line in history_of(run)]

    assert explored(one) == explored(two)
    found = {run: json.loads((run / "results.json").read_text()) for run in (one, two)}
    for mine, theirs in zip(found[one]["models"], found[two]["models"], strict=True):
        assert (mine["id"], mine["status"]) == (theirs["id"], theirs["status"])
        for split in ("validation", "test"):
            assert theirs[split]["log_loss"] == pytest.approx(mine[split]["log_loss"], abs=2e-3)
    # Predictions are whole, and in the order of the rows.
    labels = Dataset(data).labels("validation")
    for model in found[two]["models"]:
        logits = np.load(two / "models" / model["candidate"] / "validation.npy")
        assert quality_of(logits, labels).to_json() == pytest.approx(model["validation"], abs=1e-6)
    entries = [*found[two]["models"], *(found[two]["ensemble"] or {"members": []})["members"]]
    assert {path.parent.name for path in two.rglob("weights.safetensors")} == {entry["candidate"] for entry in entries}
    assert not list(two.rglob("checkpoint-*"))


def test_a_search_that_has_ended_stays_as_it_is(data: Path, search: Search, together: Path) -> None:
    first, second = search(2, data, together, {"--resume": ""})
    assert (first.code, second.code) == (0, 0), first.err
    assert f"{together} is finished" in first.err


def test_two_processes_warm_a_supernet_up(data: Path, tmp_path: Path, search: Search) -> None:
    run = tmp_path / "run"
    warm = {"--warmup": "0.2", "--warmup-paths": "2", "--probe-candidates": "3", "--probe-rows": "50"}
    few = {"--population": "3", "--iterations": "0", "--top-k": "1", "--finalists": "full", "--checkpoint-seconds": "0"}
    first, second = search(2, data, run, {"--proxy": "loss"} | warm | few)
    assert (first.code, second.code) == (0, 0), first.err + second.err
    summary = json.loads((run / "supernet" / "warmup.json").read_text())
    assert [level["fraction"] for level in summary["levels"]] == [0, 0.01, 0.1, 1]
    assert summary["levels"][-1]["median"] != summary["levels"][0]["median"]
    names = {path.name for path in (run / "supernet").iterdir()}
    assert names == {"weights.safetensors", "optimizer.safetensors", "warmup.json", "metrics.jsonl"}


def test_what_only_the_first_process_meets_ends_all_of_them(
    data: Path, tmp_path: Path, search: Search, together: Path
) -> None:
    # Tables that cannot be placed are the planner's finding, and it runs in the first process alone.
    ended = search(2, data, tmp_path / "run", {"--host-memory": "2000"})
    assert [process.code for process in ended] == [2, 2]
    (told,) = [line for process in ended for line in process.err.splitlines() if line.startswith("recnas")]
    assert told.startswith("recnas (process 0): the embedding tables cannot be placed")
    # A folder stands where the first process reads a file.
    run = tmp_path / "blocked"
    shutil.copytree(together, run)
    for path in (run / "models").rglob("training.json"):
        path.unlink()
        (path / "folder").mkdir(parents=True)
    (run / "results.json").unlink()
    ended = search(2, data, run, {"--resume": ""})
    assert [process.code for process in ended] == [2, 2]
    (told,) = [line for process in ended for line in process.err.splitlines() if line.startswith("recnas")]
    assert "cannot be read (it is a folder, or no file at all)" in told


def test_bad_input_is_said_once(tmp_path: Path) -> None:
    failed = torchrun(flags_of(tmp_path / "nowhere", tmp_path / "run", {}))
    assert failed.returncode == 1, "torchrun's own"
    assert sum("nowhere" in line and line.startswith("recnas") for line in failed.stderr.splitlines()) == 1
    assert "Traceback" not in failed.stderr.partition("ChildFailedError")[0].partition("Traceback (most recent")[0]
