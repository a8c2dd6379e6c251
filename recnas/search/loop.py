"""The loop of a search: what a strategy asks for is evaluated and recorded, and it is told the results."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
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

EvaluateAsDone = Callable[[Callable[[], Sequence[Evaluation]]], Iterator[Result]]
"""Evaluates what a function gives, which is asked for more after each result; gives each as it is known."""
_Key = tuple[str, float]
"""Of an evaluation: its candidate's id and its fidelity."""
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


def pursue_as_done(
    strategy: Strategy,
    history: History,
    stage: str,
    evaluate: EvaluateAsDone,
    each: Callable[[Result, bool], None],
    in_order: bool,
) -> None:
    """Asks a strategy, evaluates, and tells it each result as it is known, until it asks for nothing more.

    The order in which results were told is the history's, and a search that is resumed tells them in that order.

    Args:
        strategy: What asks; it is asked again after each result.
        history: What is known already, and where results are recorded.
        stage: That of the run, as the history names it.
        evaluate: Evaluates what it is given while others are under way.
        each: Called with each result when the strategy has been told it, and whether the history had it.
        in_order: Whether results are told in the order of the questions, so that it does not hang on the clock.
    """
    waiting = list(strategy.ask())
    under_way: dict[_Key, Evaluation] = {}
    done: dict[_Key, Result] = {}

    def more() -> list[Evaluation]:
        begun = list(waiting)
        waiting.clear()
        under_way.update((_key(evaluation), evaluation) for evaluation in begun)
        return begun

    def next_told() -> _Key | None:
        """Whose result is told next; None to wait for another one."""
        asked = [*under_way.values(), *waiting]
        if not asked:
            return None
        recorded = history.next_of(stage, asked)
        if recorded is None and not in_order:
            return next(iter(done), None)
        key = _key(asked[0] if recorded is None else recorded)
        return key if key in done else None

    with closing(evaluate(more)) as results:
        for result in results:
            done[_key(result.evaluation)] = result
            while (key := next_told()) is not None:
                del under_way[key]
                told, known = history.settle(stage, done.pop(key))
                strategy.tell([told])
                each(told, known)
                waiting += strategy.ask()


class KeptStrategy(Strategy):
    """A strategy that is kept to its problem: within the limits and the budget, nothing evaluated twice.

    Strategies of recnas are so by themselves. Of others, what was evaluated before is answered from memory. Those that
    are not asynchronous are told the results of a question when all of them are there; where the budget ends before,
    they are not.

    Args:
        inner: The strategy.

    Attributes:
        name: What messages call it.
    """

    def __init__(self, inner: Strategy) -> None:
        self._inner = inner
        self.name = f"strategy {strategy_name(type(inner))}"
        self._results: dict[_Key, Result] = {}
        # What it waits to be told, and which of it is under way.
        self._asked: list[Evaluation] = []
        self._under_way: set[_Key] = set()

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
            if self._inner.asynchronous or not self._asked:
                self._ask_inner()
            new: dict[_Key, Evaluation] = {}
            for evaluation in self._asked:
                if (key := _key(evaluation)) not in self._results and key not in self._under_way:
                    new.setdefault(key, evaluation)
            if new:
                within = self._within(list(new.values()))
                self._under_way.update(map(_key, within))
                return within
            if not self._tell_inner():
                return []
        return []

    def tell(self, results: Sequence[Result]) -> None:
        """Results of what is under way, which the strategy is told with those that were known."""
        for result in results:
            self._results[key := _key(result.evaluation)] = result
            self._under_way.discard(key)
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

    def _ask_inner(self) -> None:
        """Asks the strategy."""
        with named_failures(type(self._inner), "failed when asked"):
            asked = self._inner.ask()
        if not isinstance(asked, list | tuple):
            raise InputError(f"{self.name} asked for {_shown(asked)}; ask gives a list of evaluations")
        for item in asked:
            if not isinstance(item, Evaluation) or not isinstance(item.candidate, Candidate):
                raise InputError(f"{self.name} asked for {_shown(item)}; ask gives evaluations of candidates")
        self._asked += [self._admitted(evaluation) for evaluation in asked]

    def _tell_inner(self) -> bool:
        """Tells the strategy what it waits for, as far as it may be told; gives whether it was told anything."""
        known = [self._results[key] for evaluation in self._asked if (key := _key(evaluation)) in self._results]
        if not known or (len(known) < len(self._asked) and not self._inner.asynchronous):
            return False
        self._asked = [evaluation for evaluation in self._asked if _key(evaluation) not in self._results]
        with named_failures(type(self._inner), "failed when it was told results"):
            self._inner.tell(known)
        return True


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

    Where a budget in time is over before anything has come to its end, one whole training may be asked for all the
    same: without any there is no model.

    Args:
        inner: The strategy.
    """

    def __init__(self, inner: Strategy) -> None:
        super().__init__(inner)
        self._candidates: set[str] = set()
        self._clock = 0.0
        self._has_ended = self._is_overtime_used = False

    def spend(self, budget: Budget) -> None:
        """Goes on with another budget, that of before included."""
        self.problem = self._inner.problem = replace(self.problem, budget=budget)

    def tell(self, results: Sequence[Result]) -> None:
        """See `KeptStrategy.tell`."""
        self._clock = max([self._clock, *(result.clock or 0.0 for result in results)])
        self._has_ended |= any(result.training.finished for result in results)
        super().tell(results)

    def _is_spent(self) -> bool:
        return self._is_time_over and (self._has_ended or self._is_overtime_used)

    @property
    def _is_time_over(self) -> bool:
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
        if self._is_time_over:
            new = [evaluation for evaluation in new if evaluation.fidelity == 1][:1]
            self._is_overtime_used = bool(new)
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


def _key(evaluation: Evaluation) -> _Key:
    return evaluation.candidate.id, evaluation.fidelity
