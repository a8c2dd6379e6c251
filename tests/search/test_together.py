"""A search of two processes that `torchrun` started, and of one."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

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
}


def search(launcher: list[str], data: Path, run: Path, *more: str) -> subprocess.CompletedProcess[str]:
    flags = [text for pair in FLAGS.items() for text in pair]
    command = [*launcher, "recnas", "search", "--data", str(data), "--run", str(run), *flags, *more]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def torchrun() -> list[str]:
    # What follows `--` is recnas': `--run` looks like one of torchrun's own flags.
    return [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "--"]


def test_two_processes_find_what_one_finds(data: Path, tmp_path: Path, torchrun: list[str]) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    alone, together = search([sys.executable, "-m"], data, one), search(torchrun, data, two)
    assert alone.returncode == 0, alone.stderr
    assert together.returncode == 0, together.stderr
    assert together.stdout.count("<- best") == 1, "one of the processes prints"

    def history(run: Path) -> list[tuple[str, float]]:
        lines = (run / "history.jsonl").read_text().splitlines()
        return [(line["id"], line["score"]) for line in map(json.loads, lines)]

    assert history(one) == history(two)
    found = {run: json.loads((run / "results.json").read_text()) for run in (one, two)}
    for mine, theirs in zip(found[one]["models"], found[two]["models"], strict=True):
        assert (mine["id"], mine["status"]) == (theirs["id"], theirs["status"])
        for split in ("validation", "test"):
            assert theirs[split]["log_loss"] == pytest.approx(mine[split]["log_loss"], abs=2e-2)
    assert sorted(path.name for path in two.rglob("weights.safetensors")) == ["weights.safetensors"] * 3
    assert not list(two.rglob("checkpoint-*"))

    again = search(torchrun, data, two, "--resume")
    assert again.returncode == 0, again.stderr
    assert f"{two} is finished" in again.stderr


def test_two_processes_warm_a_supernet_up(data: Path, tmp_path: Path, torchrun: list[str]) -> None:
    run = tmp_path / "run"
    warm = {"--warmup": "0.2", "--warmup-paths": "2", "--probe-candidates": "3", "--probe-rows": "50"}
    few = {"--population": "3", "--iterations": "0", "--top-k": "1", "--finalists": "full", "--checkpoint-seconds": "0"}
    flags = [text for pair in ({"--proxy": "loss"} | warm | few).items() for text in pair]
    done = search(torchrun, data, run, *flags)
    assert done.returncode == 0, done.stderr
    summary = json.loads((run / "supernet" / "warmup.json").read_text())
    assert [level["fraction"] for level in summary["levels"]] == [0, 0.01, 0.1, 1]
    assert summary["levels"][-1]["median"] != summary["levels"][0]["median"]
    names = {path.name for path in (run / "supernet").iterdir()}
    assert names == {"weights.safetensors", "optimizer.safetensors", "warmup.json", "metrics.jsonl"}


def test_what_only_the_first_process_meets_ends_all_of_them(data: Path, tmp_path: Path, torchrun: list[str]) -> None:
    # Tables that cannot be placed are the planner's finding, and it runs in the first process alone.
    failed = search(torchrun, data, tmp_path / "run", "--host-memory", "2000")
    assert failed.returncode == 1, "torchrun's own"
    told = [line for line in failed.stderr.splitlines() if line.startswith("recnas (process")]
    assert len(told) == 1
    assert "the embedding tables cannot be placed" in told[0]
    # A folder stands where the first process is to write.
    run = tmp_path / "blocked"
    begun = search(torchrun, data, run)
    assert begun.returncode == 0, begun.stderr
    for path in (run / "retrain").rglob("training-*.json"):
        path.unlink()
        (path / "folder").mkdir(parents=True)
    (run / "results.json").unlink()
    failed = search(torchrun, data, run, "--resume")
    assert failed.returncode == 1
    assert any("Is a directory" in line or "cannot be" in line for line in failed.stderr.splitlines())


def test_bad_input_is_said_once(tmp_path: Path, torchrun: list[str]) -> None:
    failed = search(torchrun, tmp_path / "nowhere", tmp_path / "run")
    assert failed.returncode == 1, "torchrun's own"
    assert sum("nowhere" in line and line.startswith("recnas") for line in failed.stderr.splitlines()) == 1
    assert "Traceback" not in failed.stderr.partition("ChildFailedError")[0].partition("Traceback (most recent")[0]
