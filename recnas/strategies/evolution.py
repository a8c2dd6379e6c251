"""Regularised evolution (Real et al. 2019) with the settings of NASRec and SiGeo, as an ask-and-tell object."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from recnas.candidates.limits import COSTS
from recnas.space import PATIENCE, Architecture, SearchSpace
from recnas.strategies.pareto import Point, crowding, first_front, objectives
from recnas.util.errors import InputError
from recnas.util.setting import setting

TRIES = 1000
"""Draws of a child before another mutation is added to make it new."""
USUAL_TOURNAMENT = 64
"""Members of a tournament in NASRec and SiGeo."""
OBJECTIVES = ("score", *COSTS)
"""What a search can look for: a high score, low costs."""


@dataclass(frozen=True)
class EvolutionSettings:
    """How the search evolves; the defaults are NASRec's and SiGeo's.

    With costs among the objectives the search looks for a Pareto front: high scores at each cost.

    Raises:
        InputError: A value is out of its range.
    """

    population: int = setting(128, help="random candidates to begin with, and how many stay alive")
    iterations: int = setting(240, help="rounds of parents and children")
    tournament: int | None = setting(
        None,
        help=f"members drawn each round, of which the best is the parent; none: {USUAL_TOURNAMENT}, or all of a "
        "smaller population",
    )
    children: int = setting(8, help="new candidates each round, in place of as many of the oldest")
    objectives: tuple[str, ...] = setting(
        ("score",),
        help="what to look for: score, or a Pareto front of score and costs, such as score,macs; costs are "
        f"{', '.join(COSTS)}",
        former_values={"flops": "macs"},
    )

    def __post_init__(self) -> None:
        if self.population < 1 or self.drawn < 1 or self.children < 1 or self.iterations < 0:
            raise InputError("population, tournament and children must be 1 or more, iterations 0 or more")
        if unknown := [name for name in self.objectives if name not in OBJECTIVES]:
            raise InputError(f"no objective is named {unknown[0]!r}; known are {', '.join(OBJECTIVES)}")
        if "score" not in self.objectives or len(set(self.objectives)) < len(self.objectives):
            raise InputError(
                f"objectives are {','.join(self.objectives)}; score and any costs beside it are expected, each once"
            )

    def check_rounds(self) -> None:
        """Whether rounds can be made of these numbers; a search without rounds, such as a random one, does not ask.

        Raises:
            InputError: They do not fit each other.
        """
        if not self.iterations:
            return
        if self.drawn > self.population:
            raise InputError(
                f"a tournament of {self.drawn} cannot be drawn from a population of {self.population}; lower "
                "--tournament or raise --population"
            )
        if self.children > self.population:
            raise InputError(
                f"{self.children} children cannot replace the oldest of a population of {self.population}; lower "
                "--children or raise --population"
            )

    @property
    def drawn(self) -> int:
        """Members of a tournament."""
        return min(USUAL_TOURNAMENT, self.population) if self.tournament is None else self.tournament

    @property
    def candidates(self) -> int:
        """How many candidates a whole search scores."""
        return self.population + self.iterations * self.children

    def mutations(self, remaining: int) -> int:
        """Mutations of each child when `remaining` iterations are still to come, this one included."""
        return remaining // max(20, self.iterations // 5) + 1


@dataclass(frozen=True)
class Proposal:
    """A candidate to be scored: never proposed before, in any form that computes the same."""

    arch: Architecture
    id: str
    parents: tuple[str, ...]
    iteration: int


@dataclass(frozen=True)
class _Member:
    """A candidate of the population."""

    proposal: Proposal
    score: float
    point: Point


class RegularizedEvolution:
    """Proposes candidates and learns from their scores.

    Each round draws a tournament from the population, mutates its winner, and lets the oldest die (Real et al. 2019).
    With costs as objectives beside the score, two of the tournament's members that no other member dominates are drawn
    and the less crowded one wins: the comparison of NSGA-II (Deb et al. 2002, section III). Were it made between all of
    them, the ends of the front would always win. The oldest die all the same; the whole history has the front.

    With limits, a draw that is not affordable is drawn again. Where limits are so tight that `PATIENCE` draws in a row
    are refused, every further one is pulled within them, until one fits by itself: its choices are exchanged, in random
    order, for those of its parent or of the smallest candidate, and no more of them than it takes.

    Args:
        space: Where candidates come from.
        settings: How to evolve.
        rng: The source of every choice: the same state and the same scores give the same proposals.
        affordable: Whether a candidate is within the limits, asked of each candidate that is new; None for no limits.
        smallest: A candidate that is, for others to be pulled to.
        costs: A candidate's costs that are objectives beside the score, lower is better.

    Raises:
        ValueError: One of `affordable` and `smallest` is given without the other.
        InputError: The settings' numbers do not fit each other.

    Example:
        >>> evolution = RegularizedEvolution(space, EvolutionSettings(), random.Random(0))
        >>> while proposals := evolution.ask():
        ...     evolution.tell([score(proposal.arch) for proposal in proposals])
    """

    def __init__(
        self,
        space: SearchSpace,
        settings: EvolutionSettings,
        rng: random.Random,
        affordable: Callable[[Architecture], bool] | None = None,
        smallest: Architecture | None = None,
        costs: Callable[[Architecture], Point] = lambda arch: (),
    ) -> None:
        if (affordable is None) != (smallest is None):
            raise ValueError("affordable and smallest belong together")
        settings.check_rounds()
        self.space, self.settings, self.rng = space, settings, rng
        self.iteration = 0
        self._affordable, self._smallest, self._costs = affordable, smallest, costs
        self._alive: deque[_Member] = deque()
        self._seen: set[str] = set()
        self._asked: list[Proposal] = []
        self._refused_in_a_row = 0

    def ask(self) -> list[Proposal]:
        """The next round: the initial population first, then children; empty when the search is over.

        When no new candidate is left, the search ends early, with a round that may be short.

        Raises:
            InputError: The space, or the part of it within the limits, is too small for an initial population.
        """
        if self._asked:
            raise RuntimeError("the last round's scores have not been told")
        if not self._alive:
            self._asked = self._round(None, 0, self.settings.population)
            # A random search is one round, and may be short.
            needed = self.settings.population if self.settings.iterations else 1
            if (found := len(self._asked)) < needed:
                raise InputError(
                    f"found only {found} of the {self.settings.population} distinct candidates that a population "
                    "begins with; raise the limits, or lower --population and --tournament"
                )
        elif self.iteration <= self.settings.iterations:
            count = self.settings.mutations(self.settings.iterations - self.iteration + 1)
            self._asked = self._round(self._parent(), count, self.settings.children)
            if len(self._asked) < self.settings.children:
                self.iteration = self.settings.iterations
        return list(self._asked)

    def tell(self, scores: Sequence[float]) -> None:
        """The scores of the last round's proposals, in their order; higher is better."""
        for proposal, score in zip(self._asked, scores, strict=True):
            self._alive.append(_Member(proposal, score, objectives(score, self._costs(proposal.arch))))
        while len(self._alive) > self.settings.population:
            self._alive.popleft()
        self._asked = []
        self.iteration += 1

    def _parent(self) -> Proposal:
        """The winner of a tournament."""
        members = self.rng.sample(list(self._alive), self.settings.drawn)
        if self.settings.objectives == ("score",):
            return max(members, key=lambda member: member.score).proposal
        points = [member.point for member in members]
        front = first_front(points)
        apart = crowding([points[place] for place in front])
        pair = self.rng.sample(range(len(front)), min(2, len(front)))
        return members[front[max(pair, key=apart.__getitem__)]].proposal

    def _round(self, parent: Proposal | None, mutations: int, count: int) -> list[Proposal]:
        """So many new candidates, or fewer when no more are found."""
        found: list[Proposal] = []
        while len(found) < count and (proposal := self._new(parent, mutations)) is not None:
            found.append(proposal)
        return found

    def _new(self, parent: Proposal | None, mutations: int) -> Proposal | None:
        """An affordable candidate that was never proposed; None when many draws find none."""
        refused = 0
        for attempt in range(2 * TRIES):
            if parent is None:
                arch = self.space.sample(self.rng)
            else:
                arch = self.space.mutate(parent.arch, self.rng, mutations + attempt // TRIES + refused // PATIENCE)
            if (name := arch.id) in self._seen:
                continue
            if self._affordable is None or self._affordable(arch):
                self._refused_in_a_row = 0
            else:
                self._refused_in_a_row += 1
                refused += 1
                if self._refused_in_a_row <= PATIENCE:
                    continue
                towards = self._smallest if parent is None else parent.arch
                arch = self.space.pull(arch, towards, self._affordable, self.rng)
                if (name := arch.id) in self._seen:
                    continue
            self._seen.add(name)
            return Proposal(arch, name, () if parent is None else (parent.id,), self.iteration)
        return None
