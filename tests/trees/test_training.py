"""Trees that are grown on a data set."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from recnas.data import Dataset, fit_inputs
from recnas.features.inputs import Inputs
from recnas.trees import library, rows, training
from recnas.trees.library import EVERY, NotGrown, Round
from recnas.trees.training import Grown, grow
from recnas.util.errors import InputError
from tests.trees.conftest import LIBRARIES

CHOICES = {
    "lightgbm": {"num_leaves": 7, "learning_rate": 0.2, "cat_smooth": 10},
    "catboost": {"depth": 3, "learning_rate": 0.2},
}
CONSTANT = 0.63
"""About the log loss of the constant click rate."""


def grown(dataset: Dataset, family: str, **changes: object) -> Grown:
    arguments: dict[str, object] = {"seed": 1, "threads": 1, "most_trees": 60}
    return grow(dataset, family, CHOICES[family], **(arguments | changes))


@pytest.fixture(scope="module", params=LIBRARIES)
def family(request: pytest.FixtureRequest) -> str:
    pytest.importorskip(request.param)
    return request.param


@pytest.fixture(scope="module")
def found(dataset: Dataset, family: str) -> Grown:
    return grown(dataset, family)


@pytest.fixture(autouse=True)
def nothing_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are read anew in every test."""
    monkeypatch.setattr(training, "_last_read", None)


def test_trees_learn(dataset: Dataset, found: Grown) -> None:
    quality = found.model.evaluate(dataset, "test")
    assert quality.log_loss < CONSTANT - 0.15
    assert quality.auc > 0.8


def test_the_best_number_of_trees_is_kept_and_measured_as_the_library_measures_it(
    dataset: Dataset, family: str, found: Grown
) -> None:
    best = min(found.rounds, key=lambda item: item.log_loss)
    assert found.best == best.trees == found.model.ensemble.trees
    quality = found.model.evaluate(dataset, "validation")
    assert quality.log_loss == pytest.approx(best.log_loss, abs=1e-9)
    assert quality.auc == pytest.approx(best.auc, abs=1e-4)
    if family == "lightgbm":
        # CatBoost's is that of statistics without the row itself.
        assert found.model.evaluate(dataset, "train").log_loss == pytest.approx(best.train_loss, abs=1e-9)


def test_the_same_seed_grows_the_same_trees(dataset: Dataset, family: str, found: Grown) -> None:
    again = grown(dataset, family)
    assert again.rounds == found.rounds
    assert again.model.evaluate(dataset, "test") == found.model.evaluate(dataset, "test")


def test_fewer_trees_are_the_first_of_more(dataset: Dataset, family: str, found: Grown) -> None:
    few = grown(dataset, family, most_trees=12)
    assert few.rounds[-1].trees == 12
    assert [item for item in few.rounds if item in found.rounds] == list(few.rounds[:-1])


def test_rows_are_read_once_for_all_trees_of_a_small_data_set(
    dataset: Dataset, family: str, found: Grown, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = type(library.library(family))
    reads, read = [], used.read
    monkeypatch.setattr(used, "read", lambda self, *rows: reads.append(rows) or read(self, *rows))
    assert [grown(dataset, family).rounds for _ in range(2)] == [found.rounds] * 2
    assert len(reads) == 1
    grown(dataset, family, seed=2)
    grown(dataset.fed(dataset.schema), family)
    assert len(reads) == 3
    monkeypatch.setattr(training, "MOST_KEPT", 0)
    for _ in range(2):
        grown(dataset, family, seed=3)
    assert len(reads) == 5


def test_what_is_left_to_be_found_out_is_told_and_gives_the_same_trees(dataset: Dataset) -> None:
    left = {"num_leaves": "auto", "learning_rate": 0.2, "cat_smooth": "auto"}
    found = grow(dataset, "lightgbm", left, seed=1, threads=1, most_trees=20)
    assert set(found.found) == {"num_leaves", "cat_smooth"}
    again = grow(dataset, "lightgbm", {**left, **found.found}, seed=1, threads=1, most_trees=20)
    assert again.rounds == found.rounds
    assert not again.found


def test_parts_in_which_rows_are_read_make_no_difference(
    dataset: Dataset, family: str, found: Grown, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (rows, training, library.library(family).__class__.grow.__globals__):
        patched = module if isinstance(module, dict) else vars(module)
        if "CHUNK" in patched:
            monkeypatch.setitem(patched, "CHUNK", 700)
    if family == "lightgbm":
        sequence = library.library(family).__class__.grow.__globals__["_Sequence"]
        monkeypatch.setattr(sequence, "batch_size", 700)
    assert grown(dataset, family).rounds == found.rounds


def test_no_more_trees_are_grown_when_they_are_of_no_use(
    dataset: Dataset, family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "PATIENCE", 10)
    stopped = grown(dataset, family, most_trees=3_000)
    last = stopped.rounds[-1].trees
    assert last < 3_000
    assert 10 <= last - stopped.best < 10 + EVERY


def test_of_too_large_a_data_set_a_share_of_the_rows_is_taken(
    dataset: Dataset, family: str, found: Grown, monkeypatch: pytest.MonkeyPatch
) -> None:
    columns = len(found.model.columns)
    monkeypatch.setattr(type(library.library(family)), "most_cells", 1_000 * columns)
    shared = grown(dataset, family)
    assert (found.rows, shared.rows) == (dataset.rows("train"), 1_000)
    assert shared.model.evaluate(dataset, "test").log_loss < CONSTANT - 0.05


def test_an_id_that_was_never_seen_and_a_data_set_without_numbers_are_no_trouble(dataset: Dataset, family: str) -> None:
    plain = dataset.fed(fit_inputs(dataset, Inputs()))
    only_ids = replace(plain.schema, dense=(), sparse=plain.schema.sparse[:1])
    batch = next(iter(plain.batches("test", 50)))
    model = grown(plain, family, most_trees=10).model
    batch.sparse["user"].values()[:] = only_ids.sparse[0].rows - 1
    assert np.isfinite(model(batch).numpy()).all()


def test_rounds_that_are_kept_thin_out_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "MOST_ROUNDS", 16)
    watch = training._Watch(lambda _: None)
    losses = {trees: abs(trees - 735) / 1000 + 0.3 for trees in range(EVERY, 2_000, EVERY)}
    for trees, loss in losses.items():
        if not watch.after(Round(trees, loss, loss, 0.5)):
            break
    kept = [item.trees for item in watch.rounds]
    assert kept[0] == EVERY
    assert 735 in kept
    assert kept[-1] == 735 + training.PATIENCE
    assert len(kept) <= 18
    others = [trees for trees in kept if trees not in (735, kept[-1])]
    assert len({after - before for before, after in pairwise(others)}) == 1


def test_lightgbm_finds_out_how_far_rare_ids_are_trusted_and_then_how_many_leaves_it_wants(dataset: Dataset) -> None:
    lightgbm_library = pytest.importorskip("recnas.trees.lightgbm_library")
    usual = CHOICES["lightgbm"] | {"min_child_samples": 5}
    most = 45

    def losses(most: int = most, **changed: Any) -> list[float]:
        grown = grow(dataset, "lightgbm", usual | changed, seed=1, threads=1, most_trees=most)
        return [item.log_loss for item in grown.rounds]

    found = {name: values[0] for name, (values, _) in lightgbm_library.TRIALS.items()}
    for name, (values, trees) in lightgbm_library.TRIALS.items():
        trials = {
            value: min(losses(trees, **found | {name: value}, learning_rate=lightgbm_library.TRIAL_RATE))
            for value in values
        }
        found[name] = min(trials, key=trials.__getitem__)
    assert losses(**dict.fromkeys(found, lightgbm_library.AUTO)) == losses(**found)


def test_without_the_package_one_line_names_the_extra(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"^lightgbm is not installed; pip install lightgbm brings it$"):
        grow(dataset, "lightgbm", {}, seed=0, threads=1)


def test_rows_of_which_no_trees_can_be_grown_are_an_error_in_one_line(
    dataset: Dataset, family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = {"lightgbm": {"num_leaves": 1, "cat_smooth": 10}, "catboost": {"depth": 99}}
    with pytest.raises(NotGrown, match="no trees could be grown") as error:
        grow(dataset, family, wrong[family], seed=0, threads=1)
    assert "\n" not in str(error.value)
