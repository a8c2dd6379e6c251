"""The one loop of a search: what a strategy asks for is evaluated and recorded, and it is told the results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing

from recnas.candidates.candidate import Candidate
from recnas.candidates.evaluation import Evaluation, Result
from recnas.runs.history import Evaluate, History
from recnas.space import Architecture
from recnas.strategies.base import Strategy
from recnas.strategies.problem import Problem
from recnas.strategies.registry import named_failures, strategy_name
from recnas.util.errors import InputError

MOST_SHOWN = 60
"""Letters of a value that a message shows."""
MOST_IDLE_ROUNDS = 1000
"""Rounds in a row in which a strategy asks for nothing new before its search is over."""


def pursue(
    strategy: Strategy,
    history: History,
    stage: str,
    evaluate: Evaluate,
    each: Callable[[Result, bool], None],
    after_round: Callable[[Sequence[Result]], None] = lambda results: None,
) -> None:
    """Asks a strategy, evaluates, and tells it, until it asks for nothing more.

    Args:
        strategy: What asks.
        history: What is known already, and where results are recorded.
        stage: That of the run, as the history names it.
        evaluate: Evaluates candidates; gives their results in order, as they come.
        each: Called with each result as it comes, and whether the history had it.
        after_round: Called with the results of a round, after the strategy was told.
    """
    while evaluations := strategy.ask():
        results = []
        with closing(history.fill(stage, evaluations, evaluate)) as filled:
            for result, known in filled:
                results.append(result)
                each(result, known)
        strategy.tell(results)
        after_round(results)


class WithinBudget(Strategy):
    """A strategy that explores, kept to its problem: within the limits and the budget, nothing evaluated twice.

    Strategies that draw their candidates from the problem are so by themselves. Of others, what was evaluated before is
    answered from memory, and what is not affordable is pulled within the limits.

    Args:
        inner: The strategy.

    Attributes:
        name: What messages call it.
    """

    def __init__(self, inner: Strategy) -> None:
        self._inner = inner
        self.name = f"strategy {strategy_name(type(inner))}"
        self._results: dict[tuple[str, float], Result] = {}
        self._asked: list[Evaluation] = []

    def begin(self, problem: Problem) -> None:
        """See `Strategy.begin`."""
        super().begin(problem)
        with named_failures(type(self._inner), "failed when it began"):
            self._inner.begin(problem)

    def ask(self) -> list[Evaluation]:
        """Evaluations that were not made before, at most as many as the budget has left.

        Raises:
            InputError: The strategy fails, or asks for something else than evaluations.
        """
        for _ in range(MOST_IDLE_ROUNDS):
            left = self.problem.budget.evaluations - len(self._results)
            if left <= 0 or not (asked := self._ask_inner()):
                return []
            self._asked = [self.problem.admitted(evaluation) for evaluation in asked]
            new: dict[tuple[str, float], Evaluation] = {}
            for evaluation in self._asked:
                if (key := _key(evaluation)) not in self._results:
                    new.setdefault(key, evaluation)
            if new:
                return list(new.values())[:left]
            self._tell_inner()
        return []

    def tell(self, results: Sequence[Result]) -> None:
        """The results of the last question, which the strategy is told with those that were known."""
        self._results |= {_key(result.evaluation): result for result in results}
        self._tell_inner()

    def _ask_inner(self) -> Sequence[Evaluation]:
        with named_failures(type(self._inner), "failed when asked"):
            asked = self._inner.ask()
        if not isinstance(asked, list | tuple):
            raise InputError(f"{self.name} asked for {_shown(asked)}; ask gives a list of evaluations")
        for item in asked:
            if not isinstance(item, Evaluation) or not isinstance(item.candidate, Candidate):
                raise InputError(f"{self.name} asked for {_shown(item)}; ask gives evaluations of candidates")
            if not item.fidelity and not isinstance(item.candidate.network, Architecture):
                raise InputError(
                    f"{self.name} asked for proxies of {_shown(item.candidate.network)}; only architectures have "
                    "some, all else has a fidelity above 0"
                )
        return asked

    def _tell_inner(self) -> None:
        # Where the budget ended within a round, there are no results of the rest.
        known = [self._results[key] for evaluation in self._asked if (key := _key(evaluation)) in self._results]
        if len(known) == len(self._asked):
            with named_failures(type(self._inner), "failed when it was told results"):
                self._inner.tell(known)


def _shown(value: object) -> str:
    """A value in a message."""
    text = repr(value)
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}…"


def _key(evaluation: Evaluation) -> tuple[str, float]:
    return evaluation.candidate.id, evaluation.fidelity
