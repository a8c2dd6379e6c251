"""The loop that tells a strategy each result as it is known."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recnas.candidates.defaults import own_candidate
from recnas.candidates.evaluation import Epoch, Evaluation, Quality, Result, Training
from recnas.candidates.recipe_choices import with_choices
from recnas.runs.history import FILE_NAME, History
from recnas.search.loop import pursue_as_done
from recnas.strategies.base import Strategy
from recnas.util.errors import InputError

SIDE_BY_SIDE = 3


class Listening(Strategy):
    """Asks for so many candidates, some side by side, each new one by what it was told last."""

    trains = asynchronous = True

    def __init__(self, count: int) -> None:
        self._left, self._under_way = count, 0
        self.told: list[str] = []

    def ask(self) -> list[Evaluation]:
        asked = []
        while self._left and self._under_way < SIDE_BY_SIDE:
            self._left -= 1
            self._under_way += 1
            number = sum(map(ord, "".join(self.told[-1:]))) % 97 + 100 * self._left + 1
            candidate = with_choices(own_candidate("dnn"), {"recipe.optimization.learning_rate": number / 1e6})
            asked.append(Evaluation(candidate, 1.0))
        return asked

    def tell(self, results: Sequence[Result]) -> None:
        self._under_way -= len(results)
        self.told += [result.candidate.id for result in results]


def outcome(evaluation: Evaluation) -> Result:
    epochs = (Epoch(0.1, 1.0, 10, 0.5, Quality(0.5, 0.5), 1.0),)
    return Result.of_training(evaluation, Training(epochs, True, None, 1.0, 10))


class Evaluator:
    """Gives results in a random order, and dies after some."""

    def __init__(self, seed: int, dies_after: int | None = None) -> None:
        self._rng, self._left = random.Random(seed), dies_after

    def __call__(self, more: Callable[[], Sequence[Evaluation]]) -> Iterator[Result]:
        under_way: list[Evaluation] = []
        while True:
            under_way += more()
            if not under_way:
                return
            if self._left == 0:
                raise KeyboardInterrupt
            self._left = None if self._left is None else self._left - 1
            yield outcome(under_way.pop(self._rng.randrange(len(under_way))))


def search(run: Path, evaluate: Evaluator, in_order: bool = False, count: int = 12) -> Listening:
    run.mkdir(exist_ok=True)
    strategy, history = Listening(count), History(run)
    try:
        pursue_as_done(strategy, history, "search", evaluate, lambda result, known: None, in_order)
    finally:
        history.close()
    return strategy


def test_results_are_told_as_they_are_known_or_in_the_order_of_the_questions(tmp_path: Path) -> None:
    told = {seed: search(tmp_path / f"{seed}", Evaluator(seed)).told for seed in range(4)}
    assert all(len(set(names)) == 12 for names in told.values())
    assert len({tuple(names) for names in told.values()}) > 1
    ordered = {tuple(search(tmp_path / f"o{seed}", Evaluator(seed), in_order=True).told) for seed in range(4)}
    assert len(ordered) == 1


@given(st.integers(0, 2**31), st.integers(0, 11), st.booleans())
def test_a_search_that_was_killed_and_resumed_is_told_the_same_in_the_same_order(
    tmp_path_factory: pytest.TempPathFactory, seed: int, dies_after: int, in_order: bool
) -> None:
    run = tmp_path_factory.mktemp("run")
    with pytest.raises(KeyboardInterrupt):
        search(run, Evaluator(seed, dies_after), in_order)
    before = (run / FILE_NAME).read_bytes()
    resumed = search(run, Evaluator(seed + 1), in_order)
    assert len(resumed.told) == 12
    assert (run / FILE_NAME).read_bytes().startswith(before)
    # What a finished search had been told it is told again, whatever is done first now.
    assert search(run, Evaluator(seed + 2), in_order).told == resumed.told


def test_a_history_of_another_search_is_refused(tmp_path: Path) -> None:
    search(tmp_path / "run", Evaluator(0), count=4)
    with pytest.raises(InputError, match="where this run asks for"):
        search(tmp_path / "run", Evaluator(0), count=12)
