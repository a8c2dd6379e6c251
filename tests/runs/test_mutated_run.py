"""Whatever is done to the files of a run, each command says in one line what is wrong, and runs none of it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from recnas.search import run_search
from recnas.util.errors import RunError
from tests.mutations import check_commands


@pytest.fixture(scope="module")
def finished(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small run with every kind of file."""
    run = tmp_path_factory.mktemp("mutated") / "run"
    run_search(
        data,
        run,
        progress=False,
        strategy="evolution",
        warmup={"amount": 0.2, "probe_candidates": 2, "probe_rows": 50},
        proxy={"score": "zico | fr", "batch_size": 16, "rerank": 2},
        evolution={"population": 3, "iterations": 1, "tournament": 2, "children": 1},
        limits={"max_latency_ms": 10_000, "latency_batch": 16},
        final={"top_k": 1, "epochs": 1, "baselines": ["lr"], "optimization": {"learning_rate": 0.05}},
    )
    return run


@pytest.fixture
def nothing_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work that would take seconds ends at once."""

    def stop(*arguments: Any, **settings: Any) -> Any:
        raise RunError("it goes ahead")

    monkeypatch.setattr("recnas.search.scoring.build_scoring_context", stop)
    monkeypatch.setattr("recnas.search.warmup_stage.build_supernet", stop)
    monkeypatch.setattr("recnas.search.training.ShardedEmbeddings", stop)
    monkeypatch.setattr("recnas.search.latency.Latencies._median_ms", stop)
    monkeypatch.setattr("recnas.search.run.open_executor", _in_this_process)
    # What is drawn takes a second.
    monkeypatch.setattr("recnas.report.page.figure_html", lambda name, figure: None)


def _in_this_process(workers: Any, ray: Any, start: Any, arguments: Any, say: Any) -> Any:
    from recnas.execution.executor import ThisProcess

    return ThisProcess(start, arguments)


@pytest.mark.slow
@pytest.mark.usefixtures("nothing_computed")
def test_a_damaged_run_is_one_line(
    finished: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    run = Path(shutil.copytree(finished, tmp_path / "run"))
    again = ("search", "--data", data, "--run", run, "--resume", "--quiet")
    check_commands(
        run,
        (
            (30, lambda: ("status", run)),
            (8, lambda: ("report", run)),
            (10, lambda: again),
            (6, lambda: ("baselines", "--run", run, "--models", "lr", "--quiet")),
            (
                40,
                lambda: (
                    "search",
                    "--data",
                    data,
                    "--run",
                    tmp_path / "new",
                    "--preset",
                    run / "config.yaml",
                    "--quiet",
                ),
            ),
        ),
        capsys,
        seed=4,
    )
    (run.with_name("run kept") / "results.json").unlink()
    shutil.rmtree(run)
    unfinished = Path(shutil.copytree(run.with_name("run kept"), tmp_path / "unfinished"))
    check_commands(
        unfinished,
        (
            (20, lambda: ("status", unfinished)),
            (10, lambda: ("search", "--data", data, "--run", unfinished, "--resume", "--quiet")),
        ),
        capsys,
        seed=5,
    )
