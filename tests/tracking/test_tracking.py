"""What trackers are told: each point once, whatever happened to the run, and no run fails for them."""

from __future__ import annotations

import importlib.util
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from mlflow import MlflowClient
from mlflow.entities import Run
from tensorboard.backend.event_processing import event_accumulator
from tensorboard.util import tensor_util

from recnas.candidates.candidate import Candidate
from recnas.candidates.network import Baseline
from recnas.candidates.recipe import Optimization, Recipe
from recnas.runs.curves import final_training
from recnas.runs.models import ModelFolder
from recnas.search import run_baselines, run_search
from recnas.tracking import TRACKERS, check_trackers, follow, mlflow, tensorboard, tracked
from recnas.tracking.redact import redact
from recnas.util.console import Console
from recnas.util.errors import InputError

pytestmark = pytest.mark.usefixtures("_mlflow")

SECRETS = st.text("0123456789@/:", min_size=9).filter(lambda text: "/" not in text[-1:])

Curves = dict[str, dict[str, list[tuple[int, float]]]]
"""By series and name: where each point is on the horizontal axis, and its value."""


def tensorboard_curves(run: Path) -> Curves:
    found = {}
    for folder in (run / "tensorboard").iterdir():
        events = event_accumulator.EventAccumulator(str(folder), size_guidance={"tensors": 0}).Reload()
        found[folder.name] = {
            name: [(event.step, tensor_util.make_ndarray(event.tensor_proto).item()) for event in events.Tensors(name)]
            for name in events.Tags()["tensors"]
        }
    return found


def mlflow_runs(run: Path) -> dict[str, Run]:
    """MLflow's runs of a run's folder by series."""
    client, known = MlflowClient(), json.loads((run / "mlflow.json").read_text())["run"]
    parent = client.get_run(known)
    nested = client.search_runs([parent.info.experiment_id], f"tags.`mlflow.parentRunId` = '{known}'")
    return {"search": parent} | {item.info.run_name: item for item in nested}


def mlflow_curves(run: Path) -> Curves:
    client = MlflowClient()
    return {
        series: {
            name: sorted((m.step, m.value) for m in client.get_metric_history(item.info.run_id, name))
            for name in item.data.metrics
        }
        for series, item in mlflow_runs(run).items()
    }


CURVES: dict[str, Callable[[Path], Curves]] = {"mlflow": mlflow_curves, "tensorboard": tensorboard_curves}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The folder of a run that has been begun."""
    folder = tmp_path / "run"
    folder.mkdir()
    config = {"version": "0.1.0", "created": "today", "seed": 3, "final": {"top_k": 2, "optimization": {"eps": 0.1}}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return folder


def append(file: Path, *values: dict) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as lines:
        lines.write("".join(json.dumps(value) + "\n" for value in values))


def report(step: int) -> dict:
    return {"step": step, "rows": 10 * step, "loss": 1 / step, "rows_per_second": 100.0, "learning_rate": 0.5}


def explored(score: float) -> dict:
    return {"stage": "search", "score": score, "proxies": {"zico": 2 * score, "loss": 0.5}}


def reranked(loss: float) -> dict:
    return {"stage": "re-ranking", "score": None, "proxies": {"short_training": loss}}


def series_of(model: ModelFolder) -> str:
    """What a training's curves are called."""
    candidate = model.candidate
    return final_training(candidate.network_id, candidate.recipe.optimization.learning_rate, candidate.id)


def begin_model(run: Path, name: str, learning_rate: float) -> ModelFolder:
    """The folder of a model whose training begins."""
    folder = ModelFolder(run, Candidate(Baseline(name), Recipe(Optimization(learning_rate, 64))))
    folder.begin()
    return folder


@pytest.mark.parametrize("name", TRACKERS)
def test_what_a_run_writes_down_is_there_once_though_it_was_killed(
    run: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(follow, "EVERY", 0.02)
    metrics, model = run / "supernet" / "metrics.jsonl", begin_model(run, "abc", 0.05)
    append(metrics, *[report(step) for step in (1, 2, 3)])
    append(model.progress, report(1))
    with pytest.raises(KeyboardInterrupt), tracked(run, [name], Console(False)):
        raise KeyboardInterrupt
    with tracked(run, [name], Console(False)):
        time.sleep(0.1)
        # The process before had kept its state at step 1.
        metrics.with_name("new").write_text(json.dumps(report(1)) + "\n")
        metrics.with_name("new").replace(metrics)
        time.sleep(0.1)
        append(metrics, *[report(step) for step in (2, 3, 4)])
        levels = [{"fraction": rows / 40, "rows": rows, "p10": 0.5, "median": 0.6, "p90": 0.7} for rows in (0, 40)]
        append(run / "supernet" / "warmup.json", {"levels": levels})
        append(run / "history.jsonl", explored(1.0), explored(3.0))
        time.sleep(0.1)
        append(run / "history.jsonl", explored(2.0), reranked(0.5), reranked(0.25))
        append(run / "history.jsonl", {"stage": "final training", "score": -0.5, "training": {}})
        append(model.progress, report(2))
        quality = {"log_loss": 0.5, "auc": 0.75}
        append(model.path / "metrics.jsonl", {"learning_rate": 0.05, "rows": 20, "validation": quality})
    points = CURVES[name](run)
    assert points["search"]["warm-up/loss"] == [(10 * step, pytest.approx(1 / step)) for step in (1, 2, 3, 4)]
    assert points["search"]["warm-up/learning_rate"] == [(10 * step, 0.5) for step in (1, 2, 3, 4)]
    assert points["search"]["inherited log loss/median"] == [(0, pytest.approx(0.6)), (40, pytest.approx(0.6))]
    assert points["search"]["score/score"] == [(1, 1.0), (2, 3.0), (3, 2.0)]
    assert points["search"]["score/best so far"] == [(1, 1.0), (2, 3.0), (3, 3.0)]
    assert points["search"]["proxy/zico"] == [(1, 2.0), (2, 6.0), (3, 4.0)]
    assert points["search"]["re-ranking/short_training"] == [(1, 0.5), (2, 0.25)]
    assert points[series_of(model)] == {
        "final training/train_loss": [(10, 1.0), (20, 0.5)],
        "final training/validation_log_loss": [(20, 0.5)],
        "final training/validation_auc": [(20, 0.75)],
    }


@pytest.mark.parametrize("failures", [3, 10_000])
@pytest.mark.parametrize(("name", "writer"), [("mlflow", mlflow.TrackedRun), ("tensorboard", tensorboard.Events)])
def test_points_that_could_not_be_written_come_later_and_no_search_fails_for_them(
    run: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    writer: type,
    failures: int,
) -> None:
    add, looks = writer.add, 0

    def failing(*arguments: Any) -> None:
        nonlocal looks
        looks += 1
        if 4 < looks <= 4 + failures:
            raise OSError(28, "No space left\non device")
        add(*arguments)

    monkeypatch.setattr(follow, "EVERY", 0.02)
    monkeypatch.setattr(writer, "add", failing)
    with tracked(run, [name], Console(True)):
        append(run / "supernet" / "metrics.jsonl", *[report(step) for step in (1, 2, 3)])
        deadline = time.monotonic() + 30
        while looks < 9 and time.monotonic() < deadline:
            time.sleep(0.02)
    first, *others = capsys.readouterr().err.splitlines()
    assert first.startswith(f"{name}: ")
    if failures == 3:
        assert others == []
        assert CURVES[name](run)["search"]["warm-up/learning_rate"] == [(10 * step, 0.5) for step in (1, 2, 3)]
    else:
        (line,) = others
        assert re.search(rf"{name}: not complete \(.*No space left on device\); the same command with --resume", line)


def test_mlflow_is_told_the_settings_and_how_a_run_ended(run: Path) -> None:
    with pytest.raises(ValueError, match="diverged"), tracked(run, ["mlflow"], Console(False)):
        raise ValueError("diverged")
    (found,) = mlflow_runs(run).values()
    assert (found.info.run_name, found.info.status) == ("run", "FAILED")
    assert found.data.params == {"seed": "3", "final.top_k": "2", "final.optimization.eps": "0.1"}
    with tracked(run, ["mlflow"], Console(False)):
        assert mlflow_runs(run)["search"].info.status == "RUNNING"
    with pytest.raises(KeyboardInterrupt), tracked(run, ["mlflow"], Console(False)):
        raise KeyboardInterrupt
    (again,) = mlflow_runs(run).values()
    assert (again.info.run_id, again.info.status) == (found.info.run_id, "KILLED")
    MlflowClient().delete_run(again.info.run_id)
    with tracked(run, ["mlflow"], Console(False)):
        pass
    (new,) = mlflow_runs(run).values()
    assert new.info.run_id != found.info.run_id
    assert new.info.status == "FINISHED"


def test_a_search_and_its_baselines_are_one_run_of_mlflow_with_results_and_files(
    data: Path, small: dict, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    results = run_search(data, folder, progress=False, log_to=["mlflow", "tensorboard"], **small)
    best = next(model for model in results["models"] if model["id"] == results["best"])
    before = mlflow_runs(folder)
    assert before["search"].data.metrics["test_log_loss"] == best["test"]["log_loss"]
    assert before["search"].data.tags["recnas.best"] == best["id"]
    assert before["search"].data.params["evolution.population"] == "4"
    trained = before[final_training(best["id"], best["learning_rate"], best["candidate"])]
    assert trained.data.metrics["macs"] == best["macs"]
    assert trained.data.metrics["final training/validation_auc"] == best["validation"]["auc"]
    kept = MlflowClient().download_artifacts(before["search"].info.run_id, "architecture.json")
    assert Path(kept).read_text() == (folder / "architecture.json").read_text()
    assert set(tensorboard_curves(folder)) == set(before)
    run_baselines(data, folder, models=["lr"], progress=False, log_to="mlflow")
    after = mlflow_runs(folder)
    assert set(after) > set(before)
    assert {item.info.status for item in after.values()} == {"FINISHED"}
    assert {series.split()[0] for series in set(after) - set(before)} == {"lr"}
    # The ensemble's figures stand beside the best model's.
    results = json.loads((folder / "results.json").read_text())
    quality = {"log_loss": 0.5, "auc": 0.75}
    member = {"id": "lr", "candidate": "lr-1", "weight": 0.5, "kind": "baseline", "learning_rate": 0.1, "epoch": 1}
    costs = {"parameters": 1, "macs": 1, "latency_ms": None, "over_limits": []}
    results["ensemble"] = {"members": [member | {"validation": quality}] * 2, "among": 2, **costs}
    results["ensemble"] |= {"validation": quality, "test": quality, "held_out": {"log_loss": 0.5, "single": 0.6}}
    (folder / "results.json").write_text(json.dumps(results))
    with tracked(folder, ["mlflow"], Console(False)):
        pass
    assert mlflow_runs(folder)["search"].data.metrics["ensemble_test_auc"] == 0.75
    kept = MlflowClient().download_artifacts(before["search"].info.run_id, "results.json")
    assert [model["id"] for model in json.loads(Path(kept).read_text())["models"]][-1] == "lr"


@pytest.mark.parametrize("name", TRACKERS)
def test_without_the_package_its_extra_is_named_before_anything_is_made(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda *name: None)
    with pytest.raises(InputError, match=rf"pip install 'recnas\[{name}\]'"):
        run_search(data, tmp_path / "run", progress=False, log_to=name)
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_is_not_there_is_told_before_anything_is_made(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(InputError, match=r"MLflow at http://127\.0\.0\.1:9: .*MLFLOW_TRACKING_URI") as told:
        run_baselines(data, tmp_path / "run", progress=False, log_to="mlflow")
    assert "\n" not in str(told.value)
    assert "secret" not in str(told.value)
    assert list(tmp_path.iterdir()) == []


def test_settings_that_mlflow_did_not_take_come_with_the_next_look(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log_batch, calls = MlflowClient.log_batch, 0

    def failing_once(*arguments: Any, **options: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise OSError("busy")
        log_batch(*arguments, **options)

    monkeypatch.setattr(MlflowClient, "log_batch", failing_once)
    with tracked(run, ["mlflow"], Console(False)):
        pass
    (found,) = mlflow_runs(run).values()
    assert found.data.params["seed"] == "3"
    assert found.data.tags["recnas.version"] == "0.1.0"
    # It is said though no progress is wanted.
    assert capsys.readouterr().err == "mlflow: busy; it is tried again every 10 s\n"


def test_a_run_whose_number_cannot_be_kept_is_not_made_again_and_again(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(follow, "EVERY", 0.02)
    monkeypatch.setattr(mlflow, "write_tracked", full)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "orphans")
    with tracked(run, ["mlflow"], Console(False)):
        time.sleep(0.2)
    experiment = MlflowClient().get_experiment_by_name("orphans")
    assert list(MlflowClient().search_runs([experiment.experiment_id])) == []
    assert "not complete" in capsys.readouterr().err


def test_trainings_that_had_ended_keep_their_end(run: Path) -> None:
    append((finished := begin_model(run, "abc", 0.05)).progress, report(1))
    with tracked(run, ["mlflow"], Console(False)):
        pass
    append((killed := begin_model(run, "abc", 0.1)).progress, report(1))
    with pytest.raises(KeyboardInterrupt), tracked(run, ["mlflow"], Console(False)):
        raise KeyboardInterrupt
    ends = {series: item.info.status for series, item in mlflow_runs(run).items()}
    assert ends == {"search": "KILLED", series_of(finished): "FINISHED", series_of(killed): "KILLED"}


@pytest.mark.parametrize("variable", ["MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID"])
def test_an_experiment_that_is_gone_is_told_before_anything_is_made(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    number = MlflowClient().create_experiment(f"gone {variable}")
    MlflowClient().delete_experiment(number)
    monkeypatch.setenv(variable, f"gone {variable}" if variable.endswith("NAME") else number)
    with pytest.raises(InputError, match=rf"experiment 'gone {variable}' was deleted"):
        run_search(data, tmp_path / "run", progress=False, log_to="mlflow")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "4711")
    with pytest.raises(InputError, match="4711"):
        run_search(data, tmp_path / "run", progress=False, log_to="mlflow")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", TRACKERS)
def test_a_run_that_is_refused_leaves_nothing(data: Path, small: dict, tmp_path: Path, name: str) -> None:
    small["warmup"] = {"amount": 1.0, "probe_candidates": 0}
    small["proxy"]["score"] = "sigeo"
    with pytest.raises(InputError):
        run_search(data, tmp_path / "run", progress=False, log_to=name, sharding={"host_memory": 1000}, **small)
    assert list(tmp_path.iterdir()) == []


@given(user=st.text("abc", min_size=1), password=SECRETS)
def test_no_password_is_said(user: str, password: str) -> None:
    server = redact(f"cannot reach http://{user}:{password}@host:80/path now")
    assert server == "cannot reach http://host:80/path now"
    assert password not in redact(f"postgresql://host/db?user=me&password={password}")
    assert redact("sqlite:///mlflow.db, http://host:80/a") == "sqlite:///mlflow.db, http://host:80/a"


def test_an_unknown_tracker_is_named() -> None:
    with pytest.raises(InputError, match="'wandb' is none of mlflow, tensorboard"):
        check_trackers(["wandb"])
