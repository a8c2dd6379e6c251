"""`recnas status`: a run at each stage, at work on or not."""

from __future__ import annotations

import fcntl
import json
import os
import random
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from recnas.candidates.candidate import Candidate
from recnas.candidates.network import Baseline
from recnas.candidates.recipe import Optimization, Recipe
from recnas.cli import main
from recnas.features.schema import Schema
from recnas.runs.folder import open_run, write_config
from recnas.runs.plan import write_plan
from recnas.runs.settings import Settings
from recnas.runs.status import Progress, read_status
from recnas.search.stages import plan_search
from recnas.space import SearchSpace
from recnas.util.console import clock
from recnas.util.errors import InputError

QUALITY = {"log_loss": 0.6, "auc": 0.7}
ANY = SearchSpace.named("nasrec-small").sample(random.Random(0))


def settings_of(run: Path, data: Path, **final: Any) -> Settings:
    values = {
        "warmup": {"amount": 2},
        "proxy": {"score": "zico | short_training", "rerank": 4},
        "evolution": {"population": 4, "iterations": 2, "tournament": 2, "children": 2},
        "final": {
            "top_k": 2,
            "epochs": 2,
            "other_learning_rates": [0.02],
            "baselines": ["dlrm"],
            "baseline_recipes": "like-finalists",
            **final,
        },
        "workers": 2,
    }
    return Settings.from_mapping({"data": str(data), "run": str(run), **values})


def write(file: Path, *values: dict) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(value) + "\n" for value in values))


def begin(run: Path, settings: Settings) -> None:
    """Writes what a run with these settings has when it begins."""
    write_config(run, settings, "now")
    splits = Schema.load(run).splits
    write_plan(run, plan_search(settings, {name: split["rows"] for name, split in splits.items()}))


@pytest.fixture
def run(data: Path, tmp_path: Path) -> Path:
    """A run that has only begun."""
    folder = tmp_path / "my run"
    folder.mkdir()
    Schema.load(data).save(folder)
    begin(folder, settings_of(folder, data))
    return folder


def warm_up(run: Path, rows: int = 600) -> None:
    reports = [{"step": rows, "rows": rows, "loss": 0.6, "rows_per_second": rate} for rate in (100, 200)]
    write(run / "supernet" / "metrics.jsonl", *reports)


def search(run: Path, candidates: int, reranked: int = 0) -> None:
    write(run / "supernet" / "warmup.json", {"levels": []})
    line = {"stage": "search", "iteration": 0, "seconds": 0.5}
    lines = [line | {"id": f"c{n}-00000000", "score": -abs(n - 2)} for n in range(candidates)]
    line |= {"stage": "re-ranking", "score": None, "seconds": 4.0}
    write(run / "history.jsonl", *lines, *[line | {"id": f"c{n}-00000000"} for n in range(reranked)])


def train(run: Path, model: str, rate: float, rows: int, ended: bool) -> None:
    candidate = Candidate(Baseline(model) if model == "dlrm" else ANY, Recipe(Optimization(rate, 256), epochs=2))
    folder = run / "models" / f"{model}-{candidate.recipe.id}"
    write(folder / "candidate.json", candidate.to_json())
    write(folder / "progress.jsonl", {"rows": rows, "loss": 0.6, "rows_per_second": 300.0})
    if ended:
        measured = {"learning_rate": rate, "epoch": rows / 1200, "rows": rows, "validation": QUALITY}
        write(folder / "training.json", {"epochs": [measured], "diverged": None})
        write(folder / "metrics.jsonl", measured)


@contextmanager
def at_work(run: Path):
    handle = os.open(run, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(handle)


def test_each_stage_is_known_with_how_far_how_fast_and_how_long(run: Path) -> None:
    assert (read_status(run).stage, read_status(run).progress) == ("warm-up", None)
    warm_up(run)
    status = read_status(run)
    # 1,200 training rows, twice.
    assert (status.stage, status.progress.done, status.progress.total) == ("warm-up", 600, 2400)
    assert status.progress.seconds_left == pytest.approx(1800 / 150)
    search(run, candidates=5)
    status = read_status(run)
    assert (status.stage, status.progress.done, status.progress.total) == ("search", 5, 8)
    # Half a second each, in two processes.
    assert status.progress.seconds_left == pytest.approx(3 / 4)
    assert (status.best_id, status.best_score) == ("c2", 0)
    search(run, candidates=8)
    assert (read_status(run).stage, read_status(run).progress) == ("re-ranking", Progress(0, 4, "candidates"))
    search(run, candidates=8, reranked=3)
    assert (read_status(run).stage, read_status(run).progress) == ("re-ranking", Progress(3, 4, "candidates", 2 / 4))
    train(run, "c2", 0.1, 2400, ended=True)
    train(run, "c1", 0.1, 1000, ended=False)
    status = read_status(run)
    # Two finalists, one of them and DLRM at a second learning rate: five trainings of two epochs.
    assert (status.stage, status.progress.done, status.progress.total) == ("final training", 3400, 5 * 2400)
    assert status.progress.seconds_left == pytest.approx((5 * 2400 - 3400) / 300)
    assert [(model.id, model.kind, model.log_loss) for model in status.models] == [("c2", "searched", 0.6)]
    for model, rate in (("c1", 0.1), ("c2", 0.02), ("dlrm", 0.1), ("dlrm", 0.02)):
        train(run, model, rate, 2400, ended=True)
    write(run / "models" / "chosen.json", {})
    assert read_status(run).stage == "ensemble"
    write(run / "models" / "ensemble.json", {})
    assert read_status(run).stage == "test"
    assert {model.id: model.kind for model in read_status(run).models}["dlrm"] == "baseline"


def test_the_whole_run_s_time_left_is_guessed_from_what_was_measured_and_else_said_to_be_unknown(run: Path) -> None:
    with at_work(run):
        assert read_status(run).whole_seconds_left is None
        assert "whole run     time left is not known yet" in str(read_status(run))
        warm_up(run)
        status = read_status(run)
        # 1,800 rows of the warm-up; eight candidates on four batches of 512; four short trainings; five trainings of
        # 2,400 rows; three models on the test rows, which are predicted alone: all at 150 rows a second.
        tested = 3 * Schema.load(run).splits["test"]["rows"] / 3
        rows = 1800 + 8 * 2048 + 4 * 8192 + 5 * 2400 + tested
        assert status.whole_seconds_left == pytest.approx(rows / 150)
        assert status.to_json()["whole_seconds_left"] == status.whole_seconds_left
        assert f"whole run     about {clock(rows / 150)} left, roughly guessed" in str(status)
    # Of a run that is stopped nothing goes on.
    assert "whole run" not in str(read_status(run))


def test_the_usual_search_guesses_the_whole_run_s_time_left_while_it_looks_at_its_candidates(
    run: Path, data: Path
) -> None:
    values = settings_of(run, data).to_mapping()
    values["proxy"]["score"], values["warmup"]["amount"] = "jacov | jacov - short_training", None
    begin(run, Settings.from_mapping(values))
    with at_work(run):
        write(run / "history.jsonl")
        assert "whole run     time left is not known yet" in str(read_status(run))
        search(run, candidates=4)
        status = read_status(run)
        assert status.stage == "search"
        # Two processes take half a second for the 128 rows of each candidate. Four more candidates are to be looked
        # at; four short trainings, five trainings of 2,400 rows and three models on the test rows follow.
        rows = 4 * (8192 + 128) + 5 * 2400 + 3 * Schema.load(run).splits["test"]["rows"] / 3
        left = 4 / 4 + rows / (4 * 128)
        assert status.to_json()["whole_seconds_left"] == pytest.approx(left)
        assert f"whole run     about {clock(left)} left, roughly guessed" in str(status)


@pytest.mark.parametrize(
    ("ray", "workers", "seconds_left"),
    [("auto", None, None), ("auto", 6, 0.25), ("auto", 1, 1.5), ("local", None, 0.5), (None, None, 0.5)],
)
def test_how_fast_a_cluster_is_is_known_only_with_its_workers(
    run: Path, monkeypatch: pytest.MonkeyPatch, ray: str | None, workers: int | None, seconds_left: float | None
) -> None:
    monkeypatch.setattr("recnas.runs.status.available_cores", lambda: 3)
    config = yaml.safe_load((run / "config.yaml").read_text()) | {"ray": ray, "workers": workers}
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    search(run, candidates=5)
    # Three are left, half a second each.
    assert read_status(run).progress.seconds_left == (seconds_left and pytest.approx(seconds_left))
    train(run, "c2", 0.1, 2400, ended=True)
    assert (read_status(run).progress.rate is None) == (seconds_left is None)
    # What is under way tells how fast it is.
    train(run, "c1", 0.1, 1000, ended=False)
    assert read_status(run).progress.rate == 300


def test_without_a_plan_a_run_says_what_it_has_and_guesses_nothing(run: Path) -> None:
    # As an older version leaves it, or a process that was killed at once.
    (run / "plan.json").unlink()
    assert "scored" not in str(read_status(run))
    search(run, candidates=5)
    train(run, "c2", 0.1, 2400, ended=True)
    with at_work(run):
        status = read_status(run)
        assert (status.state, status.stage, status.stages) == ("running", None, ())
        assert (status.progress, status.whole_seconds_left) == (None, None)
        assert (status.scored, status.best_id, status.best_score) == (5, "c2", 0)
        assert [(model.id, model.log_loss) for model in status.models] == [("c2", 0.6)]
        shown = str(status)
    assert shown.startswith(f"{run}: running\nscored        5 candidates\n")
    assert "time left is not known yet" in shown
    assert str(read_status(run)).startswith(f"{run}: stopped\n")


def test_a_damaged_plan_is_told_in_one_line(run: Path) -> None:
    write(run / "plan.json", {"stages": [{"name": "search"}]})
    with pytest.raises(InputError, match=r"plan\.json") as error:
        read_status(run)
    assert "\n" not in str(error.value)


def test_progress_is_known_up_to_a_damaged_line(run: Path) -> None:
    search(run, candidates=8)
    train(run, "c1", 0.1, 1000, ended=False)
    (progress,) = run.glob("models/c1-*/progress.jsonl")
    # As after a power cut.
    progress.write_bytes(progress.read_bytes() + b"\0\0\0\n")
    assert read_status(run).progress.done == 1000


def test_with_halving_a_paused_training_counts_for_what_it_has_done(run: Path, data: Path) -> None:
    final = {"top_k": 4, "strategy": "halving", "epochs": 2, "optimization": {"batch_size": 100}}
    begin(run, settings_of(run, data, **final))
    search(run, candidates=8)
    train(run, "c1", 0.1, 600, ended=True)
    train(run, "c2", 0.1, 600, ended=True)
    train(run, "c3", 0.1, 300, ended=False)
    status = read_status(run)
    # Four see a quarter of 2,400 rows, two the rest; one of them and DLRM, twice, are trained in full.
    assert (status.stage, status.progress.done) == ("final training", 1500)
    assert status.progress.total == 4 * 600 + 2 * 1800 + 3 * 2400
    assert [(model.id, model.share) for model in status.models] == [("c1", 0.25), ("c2", 0.25)]
    assert "validation log loss 0.6000, AUC 0.7000 at 25 % of the training" in str(status)


def test_a_stopped_run_names_the_command_that_goes_on(
    run: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    search(run, candidates=5)
    with (run / "history.jsonl").open("a") as history:
        history.write('{"id": "cut sh')
    command = f"recnas search --data {data} --run '{run}' --resume"
    assert read_status(run).command == command
    assert main(["status", str(run)]) == 0
    shown = capsys.readouterr().out
    assert f"{run}: stopped, stage 2 of 6: search\n" in shown
    assert "5 of 8 candidates (62 %), 4.0 candidates/s\n" in shown
    assert command in shown
    with at_work(run):
        assert read_status(run).command is None
        assert main(["status", str(run)]) == 0
    shown = capsys.readouterr().out
    assert f"{run}: running, stage 2 of 6: search\n" in shown
    assert "about 0:01 left in this stage\n" in shown


def test_a_finished_run_shows_its_table_and_report(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = {
        "id": "c2",
        "kind": "searched",
        "status": "trained",
        "validation": QUALITY,
        "test": QUALITY,
        "parameters": 5,
        "macs": 9,
        "latency_ms": None,
        "over_limits": [],
    }
    write(run / "results.json", {"best": "c2", "front": ["c2"], "models": [model | {"learning_rate": 0.1}]})
    assert main(["status", str(run)]) == 0
    shown = capsys.readouterr().out
    assert f"{run}: finished\n" in shown
    assert f"none yet; recnas report '{run}'" in shown
    assert "<- best" in shown
    with at_work(run):
        assert str(read_status(run)).startswith(f"{run}: finished; baselines are being added\n")
    (run / "report.html").touch()
    assert main(["status", str(run), "--json"]) == 0
    status = json.loads(capsys.readouterr().out)
    assert (status["state"], status["stage"], status["command"]) == ("finished", None, None)
    assert status["report"] == str(run / "report.html")
    assert status["results"]["best"] == "c2"


def test_a_finished_run_of_version_0_1_is_shown_too(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = yaml.safe_load((run / "config.yaml").read_text()) | {"version": "0.1.0"}
    config["proxy"]["shortlist"] = config["proxy"].pop("rerank")
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    (run / "plan.json").unlink()
    write(run / "history.jsonl", {"id": "c2", "iteration": 0, "score": 0.5, "proxy": {"zico": 0.5}, "seconds": 0.5})
    write(run / "shortlist.jsonl", {"id": "c2", "iteration": 0, "proxy": {"zico": 0.5}, "seconds": 4.0})
    measured = {"learning_rate": 0.1, "epoch": 2, "rows": 2400, "validation": QUALITY}
    models = []
    for kind, place, name in (("found", "retrain", "c2"), ("baseline", "baselines", "dlrm")):
        write(run / place / name / "progress-0.1.jsonl", {"rows": 2400, "loss": 0.6, "rows_per_second": 300.0})
        write(run / place / name / "training-0.1.json", {"epochs": [measured], "diverged": None})
        write(run / place / name / "metrics.jsonl", measured)
        model = {"id": name, "kind": kind, "status": "trained", "validation": QUALITY, "test": QUALITY}
        models.append(model | {"parameters": 5, "flops": 9, "over_limits": [], "learning_rate": 0.1})
    search = {"candidates": 1, "shortlist": {"c2": 0.7}}
    write(run / "results.json", {"best": "c2", "front": ["c2"], "models": models, "search": search})
    status = read_status(run)
    assert (status.state, status.stage, status.command) == ("finished", None, None)
    assert (status.scored, status.best_id, status.best_score) == (1, "c2", 0.5)
    assert {model.id: (model.kind, model.share) for model in status.models} == {
        "c2": ("searched", 1),
        "dlrm": ("baseline", 1),
    }
    assert [(model["kind"], model["macs"]) for model in status.results["models"]] == [("searched", 9), ("baseline", 9)]
    assert status.results["search"]["reranked"] == {"c2": 0.7}
    assert main(["status", str(run)]) == 0
    assert "<- best" in capsys.readouterr().out


def test_looking_changes_nothing_and_keeps_no_search_out(run: Path, data: Path) -> None:
    warm_up(run)
    before = {path: path.stat().st_mtime_ns for path in (run, *run.rglob("*"))}
    read_status(run)
    assert {path: path.stat().st_mtime_ns for path in (run, *run.rglob("*"))} == before
    looking = os.open(run, os.O_RDONLY)
    fcntl.flock(looking, fcntl.LOCK_SH)
    threading.Timer(0.1, os.close, [looking]).start()
    start = time.monotonic()
    with open_run(settings_of(run, data), Schema.load(data), overwrite=False, resume=True):
        assert time.monotonic() - start >= 0.09
        with pytest.raises(InputError, match=r"another process is at work on this run; `recnas status .*` shows"):
            open_run(settings_of(run, data), Schema.load(data), overwrite=False, resume=True).__enter__()


def test_status_needs_neither_torch_nor_plotly() -> None:
    code = "import sys, recnas.runs.status; sys.exit(bool({'torch', 'plotly'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def tune(run: Path, trials: int) -> None:
    line = {"stage": "tuning", "iteration": 0, "score": -0.6, "seconds": 4.0, "fidelity": 1.0}
    write(run / "history.jsonl", *[line | {"id": f"dlrm-0000000{n}"} for n in range(trials)])


def test_tuning_is_a_stage_of_trials_or_of_the_time_that_they_took(run: Path, data: Path) -> None:
    begin(run, settings_of(run, data, top_k=0, tuning={"trials": 3}))
    for trials in (0, 2):
        tune(run, trials)
        assert f"stopped, stage 1 of 4: tuning\nprogress      {trials} of 3 trials" in str(read_status(run))
    # Four seconds each, in two processes.
    assert read_status(run).progress.seconds_left == pytest.approx(4 / 2)
    tune(run, 3)
    assert str(read_status(run)).startswith(f"{run}: stopped, stage 2 of 4: final training\nlast change")
    begin(run, settings_of(run, data, top_k=0, tuning={"budget": "10s"}))
    assert read_status(run).progress == Progress(3 * 4 / 2, 10, "seconds", 1.0)
    begin(run, settings_of(run, data, top_k=0, tuning={"trials": 9, "budget": "6s"}))
    assert read_status(run).stage == "final training"


def test_trials_are_no_part_of_the_final_training_that_follows(run: Path, data: Path) -> None:
    begin(run, settings_of(run, data, baseline_recipes="own", tuning={"trials": 1}))
    warm_up(run)
    search(run, candidates=8, reranked=4)
    lines = (run / "history.jsonl").read_text()
    tune(run, 1)
    (run / "history.jsonl").write_text(lines + (run / "history.jsonl").read_text())
    train(run, "dlrm", 0.1, 2400, ended=True)
    train(run, "c2", 0.1, 1000, ended=False)
    assert (read_status(run).stage, read_status(run).progress.done) == ("final training", 1000)


def test_a_training_that_ended_early_counts_as_a_whole_one(run: Path) -> None:
    search(run, candidates=8, reranked=4)
    train(run, "c2", 0.1, 1000, ended=True)
    (outcome,) = run.glob("models/c2-*/training.json")
    outcome.write_text(json.dumps(json.loads(outcome.read_text()) | {"finished": True}))
    status = read_status(run)
    assert (status.progress.done, [model.share for model in status.models]) == (2400, [1])
