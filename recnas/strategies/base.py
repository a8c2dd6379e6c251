"""What every strategy is: it asks for evaluations and is told their results."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

from recnas.candidates.evaluation import Evaluation, Result

if TYPE_CHECKING:
    from recnas.strategies.problem import Problem


class Strategy(ABC):
    """Proposes candidates and learns from what comes of them.

    A strategy knows nothing of processes, files and resuming: what it asks for is evaluated elsewhere, and a search
    that is resumed tells it the recorded results once more. All its random choices come from `problem.rng`, so that the
    same results give the same questions.

    Attributes:
        problem: What is searched, a `JointProblem` of one that trains; there from `begin` on.
        trains: Whether it trains whole candidates and decides about their training itself, so that nothing is ranked
            before and nothing trained after it. All that it asks for has a fidelity above 0 then.
        asynchronous: Of one that trains, whether it is told each result as soon as it is known, alone, and is asked
            again while others are under way; what it asks for is begun beside these. Otherwise it is told all results
            of a question together before the next.
        weighs_objectives: Whether it looks for a Pareto front where settings have several objectives, by
            `problem.point`.

    Example:
        >>> strategy.begin(problem)
        >>> while evaluations := strategy.ask():
        ...     strategy.tell([evaluate(evaluation) for evaluation in evaluations])
    """

    problem: Problem
    trains: ClassVar[bool] = False
    asynchronous: ClassVar[bool] = False
    weighs_objectives: ClassVar[bool] = False

    @classmethod
    def from_settings(cls, settings: Any) -> Self:
        """The strategy that a run's settings ask for; one with settings of its own takes them from there."""
        return cls()

    def begin(self, problem: Problem) -> None:
        """Called once, before the first question.

        Raises:
            InputError: The strategy's settings do not fit the problem.
        """
        self.problem = problem

    @abstractmethod
    def ask(self) -> list[Evaluation]:
        """What is to be evaluated next, side by side; nothing when the search is over, or waits for what is under way.

        Raises:
            InputError: There are too few candidates to begin with.
        """

    @abstractmethod
    def tell(self, results: Sequence[Result]) -> None:
        """The results of the last question, in its order; of an asynchronous strategy one of those under way."""
