"""A search whose trainings are looked up: a strategy asks and is told as in a run, and simulated seconds pass."""

from __future__ import annotations

import heapq
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from recnas.bench.curves import Curve
from recnas.bench.surrogate import Surrogate
from recnas.bench.table import Table
from recnas.candidates.candidate import Candidate
from recnas.candidates.evaluation import Evaluation, Result
from recnas.search.loop import TrainingWithinBudget
from recnas.strategies.base import Strategy
from recnas.strategies.problem import Budget, JointProblem

SLACK = 1.05
"""How far above a table's limit the guessed multiply–accumulates of a candidate may be."""


@dataclass(frozen=True)
class Moment:
    """When a search had something better than before, by its validation rows.

    Attributes:
        seconds: Simulated, from its beginning.
        trainings: Whole trainings that had ended by then.
        loss: Expected test log loss of what it then had.
    """

    seconds: float
    trainings: int
    loss: float


class Simulation:
    """Searches of a table's space, one after the other; what candidates come to is the same for all of them.

    Args:
        table: What was trained.
        surrogate: What knows the candidates that were not.
    """

    def __init__(self, table: Table, surrogate: Surrogate) -> None:
        self.table, self.surrogate = table, surrogate
        self._limit = table.about["settings"]["limits"]["max_macs"]

    def search(
        self, strategy: Strategy, seconds: float, seed: int, workers: int = 1, evaluations: int | None = None
    ) -> list[Moment]:
        """What a strategy has found when.

        Args:
            strategy: A new one, that trains.
            seconds: The budget, in simulated seconds.
            seed: Where its choices, and the noise of trainings, start.
            workers: Trainings side by side.
            evaluations: Candidates at most; None for as many as there is time for.
        """
        kept = self.begin(strategy, seconds, seed, workers, evaluations)
        curves: dict[str, Curve] = {}
        spent: dict[str, float] = {}
        waiting: list[Evaluation] = list(kept.ask())
        under_way: list[tuple[float, int, Result]] = []
        clock, begun, ended = 0.0, 0, 0
        best, found = float("inf"), []
        while waiting or under_way:
            while waiting and len(under_way) < workers:
                evaluation = waiting.pop(0)
                candidate = evaluation.candidate
                if candidate.id not in curves:
                    # The same for every strategy with this seed.
                    noise = random.Random(f"{seed}/noise/{candidate.id}")
                    curves[candidate.id] = self.surrogate.draw(candidate, noise)
                training = curves[candidate.id].training(candidate, evaluation.fidelity, self.table.pass_rows)
                # A training that was paused goes on.
                takes = training.seconds - spent.get(candidate.id, 0.0)
                spent[candidate.id] = training.seconds
                begun += 1
                until = clock + max(0.0, takes)
                # As in a run, its seconds are those of the training so far.
                result = replace(Result.of_training(evaluation, training), clock=until)
                heapq.heappush(under_way, (until, begun, result))
            clock, _, result = heapq.heappop(under_way)
            if clock > seconds:
                break
            if result.training.finished:
                ended += 1
                if -result.score < best:
                    best = -result.score
                    found.append(Moment(clock, ended, self.surrogate.mean(result.candidate).test))
            kept.tell([result])
            waiting += kept.ask()
        return found

    def begin(
        self, strategy: Strategy, seconds: float, seed: int, workers: int = 1, evaluations: int | None = None
    ) -> TrainingWithinBudget:
        """A strategy before its first question; arguments as in `search`.

        Raises:
            InputError: It cannot search this space.
        """
        problem = JointProblem(
            self.surrogate.space,
            random.Random(f"{seed}/search"),
            Budget(evaluations, seconds),
            self._affordable,
            self.surrogate.macs,
            self.table.pass_rows,
            workers,
        )
        kept = TrainingWithinBudget(strategy)
        kept.begin(problem)
        return kept

    def _affordable(self, candidate: Candidate) -> bool:
        return self._limit is None or self.surrogate.macs(candidate) <= SLACK * self._limit


def loss_at(moments: Sequence[Moment], seconds: float, before: float) -> float:
    """Expected test log loss of what a search had after so many simulated seconds.

    Args:
        moments: Of `Simulation.search`.
        seconds: When.
        before: What it had before its first training ended.
    """
    return next((moment.loss for moment in reversed(moments) if moment.seconds <= seconds), before)
