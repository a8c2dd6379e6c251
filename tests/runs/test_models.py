"""A model's folder in a run: what its training came to, and what is kept of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from recnas.candidates.candidate import Candidate
from recnas.candidates.network import Baseline
from recnas.candidates.recipe import Recipe
from recnas.runs.models import ModelFolder
from recnas.runs.trained import trained_files, weights_of
from recnas.util.errors import InputError
from tests.candidates.values import training_of
from tests.searches import read_lines_of
from tests.strategies.problems import RECIPE

ROWS = 100
"""Between two measurements: half a pass."""
PAUSED = training_of([0.6], ROWS, diverged=False, finished=False)
WHOLE = training_of([0.6, 0.5], ROWS, diverged=False, finished=True)
DIVERGED = training_of([0.6], ROWS, diverged=True, finished=False)


@pytest.fixture
def folder(tmp_path: Path) -> ModelFolder:
    folder = ModelFolder(tmp_path, Candidate(Baseline("dlrm"), RECIPE))
    folder.begin()
    return folder


def at(rate: float) -> Recipe:
    return replace(RECIPE, optimization=replace(RECIPE.optimization, learning_rate=rate))


def test_a_folder_says_what_its_model_is_before_anything_else_is_there(folder: ModelFolder) -> None:
    assert folder.path.name == folder.candidate.id
    (file,) = folder.path.iterdir()
    assert Candidate.from_json(json.loads(file.read_text())) == folder.candidate
    assert folder.outcome(ROWS) is None


def test_a_finished_training_counts_with_its_weights_alone(folder: ModelFolder) -> None:
    folder.record(WHOLE)
    assert folder.outcome(2 * ROWS) is None
    folder.weights.touch()
    assert folder.outcome(2 * ROWS) == WHOLE
    assert read_lines_of(folder.path / "metrics.jsonl") == [item.to_json() for item in WHOLE.epochs]


def test_what_was_dropped_keeps_its_figures_and_is_not_trained_again(folder: ModelFolder) -> None:
    folder.record(WHOLE)
    folder.weights.touch()
    (folder.checkpoint / "1").mkdir(parents=True)
    for _ in range(2):
        folder.drop_weights()
        assert {path.name for path in folder.path.iterdir()} == {"candidate.json", "metrics.jsonl", "training.json"}
        assert folder.outcome(2 * ROWS) == WHOLE


def test_what_has_nothing_to_drop_is_left_alone(tmp_path: Path) -> None:
    ModelFolder(tmp_path, Candidate(Baseline("dlrm"), RECIPE)).drop_weights()
    assert not list(tmp_path.iterdir())


def test_a_paused_training_is_known_up_to_where_it_came_and_not_beyond(folder: ModelFolder) -> None:
    folder.record(PAUSED)
    assert folder.outcome(ROWS) == PAUSED
    assert folder.outcome(2 * ROWS) is None
    assert folder.outcome(ROWS // 2) is None


def test_a_training_that_went_on_before_the_process_was_killed_is_known_as_it_was_when_it_paused(
    folder: ModelFolder,
) -> None:
    folder.record(WHOLE)
    folder.weights.touch()
    then = folder.outcome(ROWS)
    assert then == PAUSED
    assert then.paused


def test_a_training_that_diverged_is_not_tried_again(folder: ModelFolder) -> None:
    folder.record(DIVERGED)
    for rows in (ROWS, 2 * ROWS):
        assert folder.outcome(rows) is not None
    assert folder.outcome(2 * ROWS) == DIVERGED


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("[]", r"training\.json"),
        ("{}", "no 'epochs'"),
        (
            '{"epochs": [], "finished": true, "diverged": null, "seconds": 1, "parameters": 1, "keeps_weights": true}',
            "finished, without an epoch to its end; without this file the training starts anew",
        ),
        (
            '{"epochs": [], "finished": 3, "diverged": null, "seconds": 1, "parameters": 1, "keeps_weights": true}',
            "finished: ",
        ),
    ],
)
def test_a_damaged_outcome_is_one_line_that_names_its_file(folder: ModelFolder, text: str, message: str) -> None:
    (folder.path / "training.json").write_text(text)
    with pytest.raises(InputError, match=rf"training\.json.*{message}|{message}") as refused:
        folder.outcome(ROWS)
    assert "training.json" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_trained_models_are_listed_searched_ones_first_and_the_largest_learning_rate_first(
    tmp_path: Path, sample
) -> None:
    (arch,) = sample("nasrec-small", 1)
    for network in (Baseline("lr"), arch, Baseline("dlrm")):
        for rate in (0.02, 0.05):
            folder = ModelFolder(tmp_path, Candidate(network, at(rate)))
            folder.begin()
            folder.record(WHOLE)
    found = list(trained_files(tmp_path))
    assert [(item.network_id, item.kind, *item.progress) for item in found] == [
        (name, kind, rate)
        for name, kind in ((arch.id, "searched"), ("dlrm", "baseline"), ("lr", "baseline"))
        for rate in (0.05, 0.02)
    ]
    for item in found:
        (rate,) = item.outcomes
        assert item.outcomes[rate].parent == item.metrics.parent == item.weights.parent
        assert (
            item.metrics.parent
            == ModelFolder(
                tmp_path, Candidate(arch if item.kind == "searched" else Baseline(item.network_id), at(rate))
            ).path
        )
    candidate = Candidate(arch, at(0.05))
    folder = ModelFolder(tmp_path, candidate)
    assert weights_of(tmp_path, arch.id, candidate.id) == (folder.weights, folder.path / "candidate.json")


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"network": {"blocks": []}, "recipe": {}}'])
def test_a_damaged_candidate_is_one_line_that_names_its_file_once(
    folder: ModelFolder, tmp_path: Path, text: str
) -> None:
    (folder.path / "candidate.json").write_text(text)
    with pytest.raises(InputError, match=r"candidate\.json") as refused:
        list(trained_files(tmp_path))
    assert str(refused.value).count("candidate.json") == 1
    assert "\n" not in str(refused.value)


def test_where_version_0_1_kept_models_is_known(tmp_path: Path) -> None:
    for kind, name in (("retrain", "c2"), ("baselines", "dlrm")):
        (tmp_path / kind / name).mkdir(parents=True)
        for rate in (0.02, 0.05):
            (tmp_path / kind / name / f"progress-{rate}.jsonl").touch()
    found = list(trained_files(tmp_path))
    assert [(item.network_id, item.kind, sorted(item.progress)) for item in found] == [
        ("c2", "searched", [0.02, 0.05]),
        ("dlrm", "baseline", [0.02, 0.05]),
    ]
    assert found[0].outcomes[0.02] == tmp_path / "retrain" / "c2" / "training-0.02.json"
    weights, network = weights_of(tmp_path, "dlrm", None)
    assert (weights.parent, network.name) == (tmp_path / "baselines" / "dlrm", "architecture.json")
    (tmp_path / "retrain" / "c2" / "progress-fast.jsonl").touch()
    with pytest.raises(InputError, match=r"progress-fast\.jsonl: its name does not end in a learning rate"):
        list(trained_files(tmp_path))
