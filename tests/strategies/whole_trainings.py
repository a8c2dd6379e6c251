"""Whole trainings that are made up: an objective over real candidates, and what a search makes of it."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import pairwise, product

import pytest

from recnas.candidates.candidate import Candidate
from recnas.candidates.evaluation import Epoch, Evaluation, Quality, Result, Training
from recnas.candidates.joint_space import JointSpace
from recnas.candidates.recipe_choices import RECIPE_CHOICES, Span
from recnas.space import Architecture, SearchSpace, cost
from recnas.strategies.problem import Budget, JointProblem
from recnas.strategies.registry import strategies
from recnas.strategies.whole_training import WholeTraining

ROWS = 1000
NAMES = [name for name, cls in strategies().items() if issubclass(cls, WholeTraining)]
"""Every strategy that trains each candidate in whole."""
SLOW = "gp"
"""The one of which a proposal takes seconds."""
EACH = [pytest.param(name, marks=pytest.mark.slow) if name == SLOW else name for name in NAMES]
"""All of them, for tests."""
SCALE = 0.002
"""Log loss of a standard deviation of a choice's effect."""
ARCHITECTURES = JointSpace((), SearchSpace.named("nasrec-full"), no_choice=tuple(RECIPE_CHOICES))
"""Pure architectures."""
FAMILIES = JointSpace(("dnn", "dcnv2", "masknet", "deepfm"), None, ("a:b", "c:d", "e:f"))
"""Families with their recipes and inputs."""
SMALL = JointSpace(("finalnet",), no_choice=tuple(RECIPE_CHOICES))
"""The 180 candidates of a family: few enough for the best one to be known."""
TINY = JointSpace(("lr", "dnn"), no_choice=tuple(RECIPE_CHOICES))
"""16 candidates, of two kinds, one of which leaves no choice."""


@dataclass
class Objective:
    """A sum of effects of choices and of pairs of neighbouring choices, drawn at random; of numbers a parabola.

    What cannot reach an architecture's logit has no effect.

    Attributes:
        space: Whose candidates it is of.
        seed: Of the effects.
    """

    space: JointSpace
    seed: int
    _effects: dict[object, float] = field(default_factory=dict)

    def __call__(self, candidate: Candidate) -> float:
        network = candidate.network
        if isinstance(network, Architecture):
            live = network.canonical()
            groups = [[(index, *item) for item in vars(block).items()] for index, block in enumerate(live.blocks)] + [
                [("branch", *item) for item in live.branches]
            ]
        else:
            groups = [[(network.name, *item) for item in self.space.values(candidate).items()]]
        return 0.45 + SCALE * sum(map(self._of_group, groups))

    def _of_group(self, items: list[tuple[object, str, object]]) -> float:
        alone = sum(self._of_item(*item) for item in items)
        return alone + 0.3 * sum(self._effect(pair) for pair in pairwise(items))

    def _of_item(self, where: object, name: str, value: object) -> float:
        if name.endswith("width"):
            return self._effect((where, name)) * math.log2(value or 1) / 4
        if name.endswith("puts"):
            return sum(self._effect((where, name, item)) for item in value) / 2
        item = self.space.choices(where).get(name) if isinstance(where, str) and where != "branch" else None
        if isinstance(item, Span):
            best = random.Random(f"{self.seed}/{name}").random()
            return 3 * (item.place_of(value) - best) ** 2
        return self._effect((where, name, value))

    def _effect(self, what: object) -> float:
        if what not in self._effects:
            self._effects[what] = random.Random(f"{self.seed}/{what}").gauss(0, 1)
        return self._effects[what]


@dataclass
class World:
    """Trains what a strategy asks for, some side by side, which end in an order of chance.

    Attributes:
        loss: What a candidate comes to.
        noise: Standard deviation of what a training adds to it.
        seed: Of noise, and of the order.
        seconds: What a training of five passes takes.
    """

    loss: Callable[[Candidate], float]
    noise: float = 0.5 * SCALE
    seed: int = 0
    seconds: float = 1.0
    clock: float = 0.0
    asked: list[Evaluation] = field(default_factory=list)
    told: list[Result] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._chance = random.Random(f"{self.seed}/world")

    def search(self, strategy: WholeTraining, problem: JointProblem) -> list[Evaluation]:
        strategy.begin(problem)
        return self.go_on(strategy)

    def go_on(self, strategy: WholeTraining) -> list[Evaluation]:
        under_way: list[Evaluation] = []
        while True:
            self.asked += (new := strategy.ask())
            under_way += new
            assert len(under_way) <= strategy.problem.at_once
            if not under_way:
                return self.asked
            ended = under_way.pop(self._chance.randrange(len(under_way)))
            strategy.tell([self.trained(ended)])

    def trained(self, evaluation: Evaluation) -> Result:
        self.clock += (taken := self.seconds * evaluation.candidate.passes / 5)
        rows = evaluation.rows(ROWS)
        loss = self.loss(evaluation.candidate) + self._chance.gauss(0, self.noise)
        epoch = Epoch(0.001, rows / ROWS, rows, 0.5, Quality(loss, 0.7), taken)
        if math.isfinite(loss):
            training = Training((epoch,), True, None, taken, 10)
        else:
            training = Training((), False, "the loss is not a number", taken, 10)
        result = Result.of_training(evaluation, training)
        self.told.append(replace(result, clock=self.clock))
        return self.told[-1]

    @property
    def best(self) -> list[float]:
        """The lowest loss, without noise, after each candidate that was asked for."""
        found = [self.loss(evaluation.candidate) for evaluation in self.asked]
        return [min(found[: count + 1]) for count in range(len(found))]


@cache
def every_candidate() -> list[Candidate]:
    """Those of `SMALL`."""
    (kind,) = SMALL.kinds
    places = SMALL.choices(kind)
    combinations = product(*(item.options() for item in places.values()))
    return [SMALL.with_values(SMALL.own(kind), dict(zip(places, values, strict=True))) for values in combinations]


def macs(candidate: Candidate) -> float:
    return float(cost.macs(candidate.network, 13, 26, 16)) if isinstance(candidate.network, Architecture) else 1e5


def problem_in(
    space: JointSpace,
    budget: Budget,
    seed: int = 0,
    affordable: Callable[[Candidate], bool] = lambda candidate: True,
    at_once: int = 1,
) -> JointProblem:
    return JointProblem(space, random.Random(seed), budget, affordable, macs, ROWS, at_once)


def new_strategy(name: str) -> WholeTraining:
    return strategies()[name]()
