"""The one loop of a search: what a strategy asks for is evaluated and recorded, and it is told the results."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace

from recnas.candidates.candidate import Candidate
from recnas.candidates.evaluation import Evaluation, Result
from recnas.runs.history import Evaluate, History
from recnas.space import Architecture
from recnas.strategies.base import Strategy
from recnas.strategies.problem import Budget, JointProblem, Problem
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


class KeptStrategy(Strategy):
    """A strategy that is kept to its problem: within the limits and the budget, nothing evaluated twice.

    Strategies of recnas are so by themselves. Of others, what was evaluated before is answered from memory. They are
    told the results of a round when all of them are there; where the budget ends within one, they are not.

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

    def begin(self, problem: Problem | JointProblem) -> None:
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
            if self._is_spent():
                return []
            # What a budget did not suffice for is asked for again when something was added to it.
            if not self._asked and not self._ask_inner():
                return []
            new: dict[tuple[str, float], Evaluation] = {}
            for evaluation in self._asked:
                if (key := _key(evaluation)) not in self._results:
                    new.setdefault(key, evaluation)
            if new:
                return self._within(list(new.values()))
            self._tell_inner()
        return []

    def tell(self, results: Sequence[Result]) -> None:
        """The results of the last question, which the strategy is told with those that were known."""
        self._results |= {_key(result.evaluation): result for result in results}
        self._tell_inner()

    @abstractmethod
    def _is_spent(self) -> bool:
        """Whether nothing more may be asked."""

    @abstractmethod
    def _admitted(self, evaluation: Evaluation) -> Evaluation:
        """What is evaluated where a strategy asks for something.

        Raises:
            InputError: It cannot be.
        """

    @abstractmethod
    def _within(self, new: list[Evaluation]) -> list[Evaluation]:
        """As many evaluations as the budget has left."""

    def _ask_inner(self) -> bool:
        """Asks the strategy; gives whether it asks for anything."""
        with named_failures(type(self._inner), "failed when asked"):
            asked = self._inner.ask()
        if not isinstance(asked, list | tuple):
            raise InputError(f"{self.name} asked for {_shown(asked)}; ask gives a list of evaluations")
        for item in asked:
            if not isinstance(item, Evaluation) or not isinstance(item.candidate, Candidate):
                raise InputError(f"{self.name} asked for {_shown(item)}; ask gives evaluations of candidates")
        self._asked = [self._admitted(evaluation) for evaluation in asked]
        return bool(asked)

    def _tell_inner(self) -> None:
        known = [self._results[key] for evaluation in self._asked if (key := _key(evaluation)) in self._results]
        if len(known) == len(self._asked):
            self._asked = []
            with named_failures(type(self._inner), "failed when it was told results"):
                self._inner.tell(known)


class WithinBudget(KeptStrategy):
    """A strategy that explores, kept to its problem: what is not affordable is pulled within the limits."""

    def _is_spent(self) -> bool:
        return self._left <= 0

    def _admitted(self, evaluation: Evaluation) -> Evaluation:
        network = evaluation.candidate.network
        if not evaluation.fidelity and not isinstance(network, Architecture):
            raise InputError(
                f"{self.name} asked for proxies of {_shown(network)}; only architectures have some, all else has a "
                "fidelity above 0"
            )
        return self.problem.admitted(evaluation)

    def _within(self, new: list[Evaluation]) -> list[Evaluation]:
        return new[: self._left]

    @property
    def _left(self) -> int:
        return self.problem.budget.evaluations - len(self._results)


class TrainingWithinBudget(KeptStrategy):
    """A strategy that trains, kept to its problem: what is not affordable is refused.

    Args:
        inner: The strategy.
    """

    def __init__(self, inner: Strategy) -> None:
        super().__init__(inner)
        self._candidates: set[str] = set()
        self._clock = 0.0

    def spend(self, budget: Budget) -> None:
        """Goes on with another budget, that of before included."""
        self.problem = self._inner.problem = replace(self.problem, budget=budget)

    def tell(self, results: Sequence[Result]) -> None:
        """See `KeptStrategy.tell`."""
        self._clock = max([self._clock, *(result.clock or 0.0 for result in results)])
        super().tell(results)

    def _is_spent(self) -> bool:
        seconds = self.problem.budget.seconds
        return seconds is not None and self._clock >= seconds

    def _admitted(self, evaluation: Evaluation) -> Evaluation:
        candidate = evaluation.candidate
        if not evaluation.fidelity:
            raise InputError(
                f"{self.name} asked for proxies of {candidate.id}; a strategy that trains asks for fidelities above 0"
            )
        if candidate.id not in self._candidates and not self.problem.affordable(candidate):
            raise InputError(
                f"{self.name} asked for {candidate.id}, which is above the limits; problem.affordable tells that "
                "beforehand"
            )
        return evaluation

    def _within(self, new: list[Evaluation]) -> list[Evaluation]:
        most = self.problem.budget.evaluations
        for place, evaluation in enumerate(new):
            if most is not None and len(self._candidates | {evaluation.candidate.id}) > most:
                return new[:place]
            self._candidates.add(evaluation.candidate.id)
        return new


def _shown(value: object) -> str:
    """A value in a message."""
    text = repr(value)
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}…"


def _key(evaluation: Evaluation) -> tuple[str, float]:
    return evaluation.candidate.id, evaluation.fidelity
