"""A made-up world for strategies that train: real candidates, whose learning curves a formula gives."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from recnas.candidates.candidate import Candidate
from recnas.candidates.evaluation import Epoch, Evaluation, Quality, Result, Training
from recnas.candidates.joint_space import JointSpace
from recnas.candidates.network import are_trees
from recnas.search.loop import KeptStrategy
from recnas.strategies.base import Strategy
from recnas.strategies.problem import Budget, JointProblem

PASS_ROWS = 1000
LEAST = 0.4
"""The lowest log loss that any candidate could come to."""
KINDS = {"lr": (0.03, 0.02), "dnn": (0.01, 0.03), "dcnv2": (0.0, 0.05), "fcn": (0.015, 0.04)}
"""Of each kind of network what it is worse than the best, and how far from its end it begins: logistic regression is
fast and ends badly, cross networks begin slowly, so that curves cross."""
OF_TREES = (0.012, 0.04)
NOISE = 0.001
"""Standard deviation of a measurement."""


def final_loss(candidate: Candidate) -> float:
    """What a whole training comes to."""
    worse, _ = of_kind(candidate)
    if are_trees(candidate.network):
        return LEAST + worse + 0.03 * abs(math.log10(candidate.learning_rate / 0.05))
    recipe, optimization = candidate.recipe, candidate.recipe.optimization
    rate = math.log10(optimization.learning_rate / 1.5e-3)
    penalty = math.log10(optimization.embedding_penalty / 1e-3)
    rest = abs(recipe.dropout - 0.2) + 0.2 * abs(math.log2(recipe.embedding_dim / 16))
    return LEAST + worse + 0.05 * rate**2 + 0.01 * penalty**2 + 0.03 * rest


def of_kind(candidate: Candidate) -> tuple[float, float]:
    """See `KINDS`."""
    return OF_TREES if are_trees(candidate.network) else KINDS[candidate.network.name]


@dataclass
class World:
    """Evaluates what a strategy asks for, one after the other, and keeps a clock.

    Attributes:
        final: What a whole training comes to, without noise; infinite where it diverges.
        seconds_a_pass: Of one network.
        ends_after: The share of its training after which a candidate's patience is at an end.
        asked: Every evaluation.
        told: Their results.
        rows: Training rows that were seen until each.
    """

    final: Callable[[Candidate], float] = final_loss
    seconds_a_pass: float = 1.0
    ends_after: Callable[[Candidate], float] = lambda candidate: 1.0
    clock: float = 0.0
    asked: list[Evaluation] = field(default_factory=list)
    told: list[Result] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    last: dict[str, Result] = field(default_factory=dict)

    def loss(self, candidate: Candidate, share: float) -> float:
        """What a training has come to after a share of it."""
        noise = random.Random(f"{candidate.id}/{share:.6f}").gauss(0.0, NOISE)
        return self.final(candidate) + (1 - share) * of_kind(candidate)[1] + noise

    def evaluate(self, evaluation: Evaluation) -> Result:
        """The result of an evaluation, as a run would have it."""
        candidate = evaluation.candidate
        total = candidate.passes * PASS_ROWS
        before = 0
        if candidate.id in self.last and candidate.recipe is not None:
            before = self.last[candidate.id].training.rows
        asked = max(1, evaluation.rows(PASS_ROWS))
        if candidate.recipe is not None:
            asked = candidate.recipe.in_whole_batches(asked, PASS_ROWS)
        end = round(self.ends_after(candidate) * total)
        rows = min(asked, end)
        self.clock += self.seconds_a_pass * (rows - before) / PASS_ROWS
        spent = self.seconds_a_pass * rows / PASS_ROWS
        points = sorted({*(round(share * total) for share in (0.1, 0.2, 0.4, 0.6, 0.8, 1.0)), end, rows})
        epochs = tuple(
            Epoch(0.001, seen / PASS_ROWS, seen, 0.5, Quality(self.loss(candidate, seen / total), 0.7), self.clock)
            for seen in points
            if seen <= rows
        )
        diverged = None if math.isfinite(self.final(candidate)) else "the loss is not a number"
        ended = rows == end and diverged is None
        training = Training(() if diverged else epochs, ended, diverged, spent, 10)
        result = replace(Result.of_training(evaluation, training), seconds=spent, clock=self.clock)
        self.last[candidate.id] = result
        self.asked.append(evaluation)
        self.told.append(result)
        self.rows.append(rows - before + (self.rows[-1] if self.rows else 0))
        return result

    def search(self, strategy: Strategy, problem: JointProblem, until: Callable[[Result], bool] | None = None) -> int:
        """Asks and tells until nothing is asked, each result alone; gives the training rows that were seen.

        Args:
            strategy: An asynchronous one.
            problem: Its own.
            until: Whether a result ends the search.
        """
        strategy.begin(problem)
        return self.go_on(strategy, until)

    def go_on(self, strategy: Strategy, until: Callable[[Result], bool] | None = None) -> int:
        """See `search`; of a strategy that has begun."""
        under_way = list(strategy.ask())
        while under_way:
            result = self.evaluate(under_way.pop(0))
            if until is not None and until(result):
                break
            strategy.tell([result])
            seconds = strategy.problem.budget.seconds
            if seconds is None or self.clock < seconds or isinstance(strategy, KeptStrategy):
                under_way += strategy.ask()
        return self.rows[-1] if self.rows else 0


def problem_of(
    budget: Budget,
    seed: int = 0,
    families: tuple[str, ...] = tuple(KINDS),
    affordable: Callable[[Candidate], bool] = lambda candidate: True,
    at_once: int = 1,
) -> JointProblem:
    """A problem of this world."""
    space = JointSpace(families)
    return JointProblem(space, random.Random(seed), budget, affordable, lambda candidate: 1e5, PASS_ROWS, at_once)
