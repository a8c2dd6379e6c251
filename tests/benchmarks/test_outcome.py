"""What a user would pick instead: times are kept, what has ended is kept, and differences are told from chance."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import log_loss

from benchmarks.outcome import __main__ as command
from benchmarks.outcome import networks
from benchmarks.outcome.matrix import Matrices, read_matrices
from benchmarks.outcome.methods import METHODS, TITLES, outcome_of
from benchmarks.outcome.models import Trained, best_and_ensemble, labels_of, mixed
from benchmarks.outcome.results import (
    ENSEMBLE,
    SINGLE,
    Clock,
    Outcome,
    Predictions,
    Task,
    begin,
    counting_processor_time,
    folder_of,
    read_outcome,
    read_predictions,
    row_losses,
    write_outcome,
)
from benchmarks.outcome.table import difference, table
from recnas.data_prep import prepare

trees = pytest.importorskip("benchmarks.outcome.trees", reason="needs recnas[catboost]")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("outcome") / "made"
    prepare("synthetic", folder, rows=2000, progress=False)
    return folder


def task_of(data: Path, output: Path, method: str, seconds: float = 2.0, seed: int = 0) -> Task:
    folder = folder_of(output, data, seed, seconds / 60, method)
    begin(folder)
    return Task(data, seconds, seed, folder)


def busy(seconds: float) -> None:
    start = time.process_time()
    while time.process_time() - start < seconds:
        pass


def test_a_budget_is_of_processor_time() -> None:
    wall = time.perf_counter
    with counting_processor_time():
        start, clock = time.perf_counter(), Clock(1.0)
        time.sleep(0.2)
        busy(0.05)
        assert 0.05 <= time.perf_counter() - start < 0.2
        assert 0.05 <= clock.spent < 0.2
    assert time.perf_counter is wall


@pytest.mark.parametrize("method", ["lightgbm", "catboost"])
def test_trees_are_tuned_in_their_time_and_their_choices_are_made_on_validation(
    data: Path, tmp_path: Path, method: str
) -> None:
    task = task_of(data, tmp_path, method)
    result = outcome_of(method, task)
    assert result == read_outcome(task.folder)
    # A tree may be under way when the time is up.
    assert result["seconds"] < 2 * task.seconds
    assert set(result["models"]) == {SINGLE, ENSEMBLE}
    best = min(trial["log_loss"] for trial in result["about"]["trials"])
    assert result["models"][SINGLE]["validation"]["log_loss"] == pytest.approx(best, abs=1e-4)
    labels = labels_of(data)
    for model, figures in result["models"].items():
        for split in ("validation", "test"):
            clicks = 1 / (1 + np.exp(-read_predictions(task.folder, model, split).astype(np.float64)))
            assert figures[split]["log_loss"] == pytest.approx(log_loss(labels[split], clicks), abs=1e-6)


def test_seeds_are_as_many_as_there_is_time_for_and_at_least_one(data: Path, tmp_path: Path) -> None:
    outcome = networks.seeds(task_of(data, tmp_path, "seeds", seconds=0.01))
    assert outcome.about["seeds"] == 1
    assert np.allclose(outcome.models[SINGLE].test, outcome.models[ENSEMBLE].test, atol=1e-5)


@pytest.mark.slow
def test_tpe_begins_with_the_families_own_candidates(data: Path, tmp_path: Path) -> None:
    outcome = networks.tpe(task_of(data, tmp_path, "tpe", seconds=6.0))
    names = [trial["candidate"]["network"]["name"] for trial in outcome.about["trials"]]
    assert tuple(names[: len(networks.TUNED)]) == networks.TUNED[: len(names)]
    assert len(outcome.models[ENSEMBLE].test) == len(labels_of(data)["test"])


def test_trees_end_when_more_are_of_no_use_or_time_is_up() -> None:
    growing = trees.Growing(Clock(60.0))
    losses = [0.5, 0.4, *[0.41] * (2 * trees.PATIENCE)]
    ended = next(number for number, loss in enumerate(losses, 1) if not growing.after_round(number, loss))
    assert (growing.trees, growing.loss, ended) == (2, 0.4, 2 + trees.PATIENCE)
    assert not trees.Growing(Clock(-1.0)).after_round(1, 0.5)


def test_rare_categories_become_one_by_training_rows_alone() -> None:
    rows = {
        "train": np.array([[0.5, 1], [0.5, 1], [0.5, 2]], dtype=np.float32),
        "test": np.array([[0.1, 2], [0.1, 1], [0.1, 3]], dtype=np.float32),
    }
    found = Matrices(["x", "id"], 1, rows, {}).without_rare(2)
    assert found.rows["train"][:, 1].tolist() == [1, 1, 0]
    assert found.rows["test"][:, 1].tolist() == [0, 1, 0]
    assert found.rows["test"][:, 0].tolist() == rows["test"][:, 0].tolist()


def test_matrices_and_networks_have_the_same_rows_in_the_same_order(data: Path) -> None:
    matrices, labels = read_matrices(data), labels_of(data)
    for split in ("validation", "test"):
        assert matrices.labels[split].tolist() == labels[split].tolist()


def test_an_ensemble_of_opposite_errors_is_better_than_the_best() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 4000)
    truth = 2.0 * (2 * labels - 1)
    noise = 3 * rng.normal(size=4000)
    found = [Predictions(truth + noise, truth), Predictions(truth - noise, truth)]
    trained = [Trained(item.validation, item.test.copy) for item in found]
    models = best_and_ensemble(trained, labels, seed=0)
    assert row_losses(models[ENSEMBLE].validation, labels).mean() < row_losses(models[SINGLE].validation, labels).mean()
    half = mixed([(found[0], 0.5), (found[1], 0.5)]).validation
    clicks = (1 / (1 + np.exp(-found[0].validation)) + 1 / (1 + np.exp(-found[1].validation))) / 2
    assert np.allclose(1 / (1 + np.exp(-half)), clicks)


def test_a_difference_is_paired_and_told_from_chance() -> None:
    rng = np.random.default_rng(1)
    hard = rng.exponential(size=(3, 5000))
    better = difference(hard, hard + 0.01 + rng.normal(0, 0.05, hard.shape))
    assert better.mean == pytest.approx(-0.01, abs=0.002)
    assert better.low < better.mean < better.high < 0
    assert better.p < 0.01
    alike = difference(hard, hard + rng.normal(0, 0.05, hard.shape))
    assert alike.low < 0 < alike.high
    # Seeds that disagree widen the interval.
    apart = difference(hard, hard + 0.01 + np.array([[-0.1], [0.0], [0.1]]))
    assert apart.low < 0 < apart.high


def write(output: Path, data: Path, method: str, seed: int, noise: float) -> None:
    """An outcome that is worse, the more noise there is."""
    labels, rng = labels_of(data), np.random.default_rng(seed)
    logits = [2.0 * (2 * labels[split] - 1) + noise * rng.normal(size=len(labels[split])) for split in labels]
    task = task_of(data, output, method, 120.0, seed)
    predictions = Predictions(*logits)
    write_outcome(task.folder, Outcome({SINGLE: predictions, ENSEMBLE: predictions}, 100.0), labels)


def test_the_table_has_the_best_first_and_compares_the_seeds_that_both_have(data: Path, tmp_path: Path) -> None:
    assert table(tmp_path, [data], [2], 3).count("\n") == 2
    for seed in range(3):
        write(tmp_path, data, "search", seed, 0.5)
    write(tmp_path, data, "lightgbm", 0, 4.0)
    lines = table(tmp_path, [data], [2], 3).splitlines()[2:]
    assert [line.split(" | ")[2] for line in lines] == [
        *(f"{TITLES['search']}, {model}" for model in (SINGLE, ENSEMBLE)),
        *(f"{TITLES['lightgbm']}, {model}" for model in (SINGLE, ENSEMBLE)),
    ]
    assert [line.split(" | ")[3] for line in lines] == ["3", "3", "1", "1"]
    assert lines[2].split(" | ")[8].startswith("-")
    assert lines[1].split(" | ")[8] == ""


def test_what_has_ended_is_not_done_again(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for method in ("lightgbm", "seeds"):
        write(tmp_path, data, method, 0, 1.0)
    monkeypatch.setattr(command, "ProcessPoolExecutor", None)
    arguments = ["--output", str(tmp_path), "--minutes", "2", "--seeds", "1", "--methods", "lightgbm", "seeds"]
    command.main([str(data), *arguments])
    assert (tmp_path / "table.md").read_text() in capsys.readouterr().out


def test_every_method_has_a_title() -> None:
    assert set(METHODS) == set(TITLES)
