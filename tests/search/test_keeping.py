"""Which trained candidates keep their weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recnas.candidates.candidate import Candidate
from recnas.candidates.defaults import own_candidate
from recnas.candidates.evaluation import Evaluation, Result
from recnas.candidates.network import are_trees
from recnas.candidates.recipe_choices import with_choices
from recnas.runs.models import ModelFolder
from recnas.search import keeping
from recnas.search.keeping import LIBRARY, OF_A_KIND, drop_useless, ensemble_library, finished, of_use
from tests.candidates.values import training_of


def results(kinds: Sequence[bool], worse: float) -> list[Result]:
    """Trainings of trees, where it is said, and of networks, which are worse by so much."""
    found = []
    for place, of_trees in enumerate(kinds):
        candidate: Candidate = own_candidate("lightgbm" if of_trees else "dnn")
        candidate = with_choices(candidate, {"inputs.min_count": place + 1})
        loss = 0.3 + 1e-4 * place + (0 if of_trees else worse)
        # The second measurement is a planned one.
        training = training_of([0.9, loss], 10, diverged=False, finished=place % 7 != 3)
        found.append(Result.of_training(Evaluation(candidate, 1.0), training))
    return found


@given(st.lists(st.booleans(), max_size=150), st.sampled_from([-0.1, 0.0, 0.1]))
def test_an_ensemble_is_of_the_best_of_all_and_of_the_best_of_networks_and_of_trees(
    kinds: list[bool], worse: float
) -> None:
    found = results(kinds, worse)
    ended, kept = finished(found), ensemble_library(found)
    assert kept == [result for result in ended if result in kept]
    assert kept[:LIBRARY] == ended[:LIBRARY]
    assert len(kept) <= LIBRARY + OF_A_KIND
    for of_trees in (False, True):
        of_kind = [result for result in ended if are_trees(result.candidate.network) == of_trees]
        assert set(map(id, of_kind[:OF_A_KIND])) <= set(map(id, kept))


def test_weights_are_kept_as_far_as_the_disk_is_meant_for_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "MOST_BYTES", 35)
    found = finished(results([False] * 7, 0))
    for result in found:
        folder = ModelFolder(tmp_path, result.candidate)
        folder.begin()
        folder.record(result.training)
        folder.weights.write_bytes(b"0123456789")
    # It is small enough for what is left.
    ModelFolder(tmp_path, found[4].candidate).weights.write_bytes(b"01234")
    last = found[-1].candidate.id
    kept = [*(result.candidate.id for result in found[:3]), found[4].candidate.id, last]
    assert of_use(tmp_path, found, [last]) == set(kept)
    drop_useless(tmp_path, found, [last])
    there = [result.candidate.id for result in found if ModelFolder(tmp_path, result.candidate).weights.exists()]
    assert there == kept
