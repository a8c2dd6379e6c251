"""A run's folder: what is left of it when a process is killed while it makes room."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from recnas.candidates.candidate import Candidate
from recnas.candidates.evaluation import Evaluation, Result
from recnas.cli import main
from recnas.features.schema import Schema
from recnas.runs import folder
from recnas.runs.folder import open_run
from recnas.runs.history import History
from recnas.runs.settings import Settings
from recnas.search import run_search
from recnas.util.errors import InputError, RunError
from tests.stopping import Stopped
from tests.strategies.problems import RECIPE


@pytest.mark.parametrize("removed", range(5))
def test_a_replacement_killed_half_way_leaves_a_run_that_has_not_ended_or_room(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, removed: int
) -> None:
    settings, schema = Settings(data=str(data), run=str(tmp_path / "run")), Schema.load(data)
    with open_run(settings, schema, overwrite=False, resume=False) as run:
        for name in ("results.json", "history.jsonl"):
            (run / name).write_text("{}")
        (run / "supernet").mkdir()
    unlink, left = os.unlink, [removed]

    def stop(path: Path, *arguments: object, **options: object) -> None:
        if not left[0]:
            raise Stopped
        left[0] -= 1
        unlink(path, *arguments, **options)

    monkeypatch.setattr(os, "unlink", stop)
    with pytest.raises(Stopped), open_run(settings, schema, overwrite=True, resume=False):
        raise Stopped
    monkeypatch.undo()
    if removed:
        assert not (run / "results.json").exists()
    with open_run(settings, schema, overwrite=False, resume=True):
        assert (run / "config.yaml").exists()
    with open_run(settings, schema, overwrite=True, resume=False):
        assert {path.name for path in run.iterdir()} == {"config.yaml", "schema.json"}


@pytest.mark.parametrize("kind", ["new", "made", "link"])
def test_a_refused_run_leaves_no_folder_but_one_that_was_there_before(data: Path, tmp_path: Path, kind: str) -> None:
    run = tmp_path / "run"
    if kind == "made":
        run.mkdir()
    elif kind == "link":
        (tmp_path / "elsewhere").mkdir()
        run.symlink_to(tmp_path / "elsewhere")
    settings, schema = Settings(data=str(data), run=str(run)), Schema.load(data)
    with pytest.raises(InputError, match="no"), open_run(settings, schema, overwrite=False, resume=False):
        raise InputError("no")
    assert run.exists() == (kind != "new")


def test_a_run_whose_tables_do_not_fit_leaves_nothing(data: Path, tmp_path: Path, small: dict) -> None:
    with pytest.raises(InputError, match="the embedding tables cannot be placed"):
        run_search(data, tmp_path / "run", progress=False, sharding={"host_memory": 1000}, **small)
    assert not (tmp_path / "run").exists()


def test_a_run_that_has_done_something_is_not_removed(data: Path, tmp_path: Path) -> None:
    settings, schema = Settings(data=str(data), run=str(tmp_path / "run")), Schema.load(data)

    def fail_late() -> None:
        with open_run(settings, schema, overwrite=False, resume=False) as run:
            (run / "supernet").mkdir()
            (run / "supernet" / "metrics.jsonl").write_text("{}\n")
            raise InputError("no")

    with pytest.raises(InputError, match="no"):
        fail_late()
    assert (tmp_path / "run" / "supernet" / "metrics.jsonl").exists()


def test_a_full_disk_cuts_the_last_line_of_a_history_and_no_other(tmp_path: Path, sample) -> None:
    resource = pytest.importorskip("resource")
    results = [
        Result(Evaluation(Candidate(arch, RECIPE)), 0.5, 0.1, {"zico": 1.0}) for arch in sample("nasrec-small", 3)
    ]
    history = History(tmp_path)
    history.add("search", results[0])
    whole = (tmp_path / "history.jsonl").read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) + 100, hard))
    try:
        with pytest.raises(RunError, match=r"history\.jsonl: cannot be written \(File too large\)"):
            history.add("search", results[1])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        history.close()
    assert (tmp_path / "history.jsonl").stat().st_size == len(whole) + 100
    again = History(tmp_path)
    assert again.dropped
    assert (tmp_path / "history.jsonl").read_bytes() == whole
    evaluated = []

    def evaluate(evaluations: list[Evaluation]) -> Iterator[Result]:
        evaluated.extend(evaluations)
        yield from results[1:2]

    filled = list(again.fill("search", [result.evaluation for result in results[:2]], evaluate))
    assert filled == [(results[0], True), (results[1], False)]
    assert evaluated == [results[1].evaluation]
    again.close()


OLD_CONFIG = """\
version: 0.1.0
created: '2026-01-01T00:00:00+00:00'
data: data
run: run
space: nasrec-small
strategy: null
seed: 0
warmup: {amount: null, probe_candidates: 100}
proxy: {score: sigeo, shortlist: 64, brief_rows: 8192, brief_batch_size: 64}
evolution: {population: 128, sampled: 64, children: 8, generations: 240, objectives: [score]}
limits: {max_flops: null, max_parameters: null, max_latency_ms: null}
final: {top_k: 15, strategy: full, baselines: [dlrm]}
"""
"""As 0.1.0 wrote it, with names of settings that have changed since."""


@pytest.mark.parametrize("command", ["search", "baselines", "study"])
def test_an_unfinished_run_of_version_0_1_is_refused_in_one_line_that_says_what_to_do(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    monkeypatch.setattr(folder, "version", lambda name: "0.2.0")
    run = tmp_path / "run"
    run.mkdir()
    Schema.load(data).save(run)
    (run / "config.yaml").write_text(OLD_CONFIG + ("warmups: [0.0]\n" if command == "study" else ""))
    before = {path: path.read_bytes() for path in run.iterdir()}
    assert main([command, "--data", str(data), "--run", str(run), "--resume"]) == 2
    remedy = "resume it with that version, or choose another --run"
    assert capsys.readouterr().err == f"recnas: {run} was begun with recnas 0.1.0, this is 0.2.0; {remedy}\n"
    assert {path: path.read_bytes() for path in run.iterdir()} == before


@pytest.mark.parametrize("command", ["search", "study"])
def test_what_an_unfinished_run_of_another_version_is_said_to_resume_with_is_that_version(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    monkeypatch.setattr(folder, "version", lambda name: "0.2.0")
    run = tmp_path / "run"
    run.mkdir()
    Schema.load(data).save(run)
    (run / "config.yaml").write_text(OLD_CONFIG + ("warmups: [0.0]\n" if command == "study" else ""))
    assert main(["status", str(run)]) == 0
    shown = capsys.readouterr().out
    assert "resume with   recnas 0.1.0, which began it\n" in shown
    assert "--resume" not in shown
    assert main(["status", str(run), "--json"]) == 0
    status = json.loads(capsys.readouterr().out)
    assert (status["command"], status["other_version"]) == (None, "0.1.0")
    if command == "search":
        assert main(["export", str(run), "--output", str(tmp_path / "model")]) == 2
        assert capsys.readouterr().err == f"recnas: {run} has not ended; recnas 0.1.0, which began it, resumes it\n"
