"""PROFIT in a run: its interactions are searched once, before the training, and kept with the weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import recnas
from recnas.candidates.candidate import Candidate
from recnas.data import Dataset
from recnas.nn.baselines.profit import Entries
from recnas.search import training
from recnas.search.training import restore
from recnas.train.loop import evaluate
from recnas.train.tensor_files import load_tensors
from tests.searches import as_published, data
from tests.stopping import Stopped, stop_at

__all__ = ["data"]

SETTINGS: dict[str, Any] = as_published(
    {"seed": 3, "checkpoint_seconds": 0.0, "final": {"epochs": 2, "optimization": {"batch_size": 200}}}
)


def train(data: Path, run: Path, **more: Any) -> None:
    recnas.baselines(data, run, models=["profit"], learning_rates=[0.05], progress=False, **SETTINGS | more)


def weights_of(run: Path) -> dict[str, Any]:
    (path,) = (run / "models").glob("profit*/**/weights.safetensors")
    return load_tensors(path)


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was not disturbed."""
    run = tmp_path_factory.mktemp("runs") / "whole"
    train(data, run)
    return run


@pytest.fixture
def searches(monkeypatch: pytest.MonkeyPatch) -> list[Entries]:
    """What every search to come finds."""
    found: list[Entries] = []
    search = training.find_interactions
    monkeypatch.setattr(training, "find_interactions", lambda *given: found.append(search(*given)) or found[-1])
    return found


def test_what_a_search_finds_is_kept_with_the_weights(data: Path, whole: Path, tmp_path: Path, searches: list) -> None:
    train(data, tmp_path / "run")
    (entries,), kept, same = searches, weights_of(tmp_path / "run"), weights_of(whole)
    assert list(entries) == [2, 3]
    for order, (sets, _) in entries.items():
        assert kept[f"network.interactions.{order}.sets"].tolist() == sets.tolist()
    assert all(torch.equal(same[name], tensor) for name, tensor in kept.items())


# Of the search's 18 steps of the weights one is the fifth; the other stop is in the second pass of the training.
@pytest.mark.parametrize(("step", "searched_again"), [(5, True), (18 + 8, False)])
def test_a_run_stopped_anywhere_ends_as_if_it_had_not_been_and_searches_no_more_than_it_has_to(
    step: int, searched_again: bool, data: Path, whole: Path, tmp_path: Path, searches: list
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, "recnas.train.loop.ModelLearner.step", step)
        with pytest.raises(Stopped):
            train(data, tmp_path / "run")
    searches.clear()
    recnas.baselines(data, tmp_path / "run", resume=True, progress=False)
    assert bool(searches) == searched_again
    kept, same = weights_of(tmp_path / "run"), weights_of(whole)
    assert kept.keys() == same.keys()
    assert all(torch.equal(same[name], tensor) for name, tensor in kept.items())


def test_kept_weights_give_the_reported_figures(data: Path, whole: Path) -> None:
    (model,) = json.loads((whole / "results.json").read_text())["models"]
    file = whole / "models" / model["candidate"] / "candidate.json"
    candidate, dataset = Candidate.from_json(json.loads(file.read_text())), Dataset(data)
    quality = evaluate(restore(whole, dataset.schema, candidate), dataset, "test")
    assert quality.to_json() == pytest.approx(model["test"], abs=1e-6)
