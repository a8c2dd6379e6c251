"""Regularised evolution (Real et al. 2019) with the settings of NASRec and SiGeo, as an ask-and-tell object."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from recnas.candidates.evaluation import Evaluation, Result
from recnas.candidates.limits import COSTS
from recnas.strategies.base import Strategy
from recnas.strategies.pareto import Point, crowding, first_front
from recnas.strategies.problem import Problem
from recnas.strategies.registry import strategy
from recnas.util.errors import InputError
from recnas.util.setting import setting
from recnas.util.user_code import is_user_code

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
        help="what to optimise: score, or a Pareto front of score and costs, such as score,macs; costs are "
        f"{', '.join(COSTS)}, or, of a search that trains its candidates, module:function for one of your own",
        former_values={"flops": "macs"},
    )

    def __post_init__(self) -> None:
        if self.population < 1 or self.drawn < 1 or self.children < 1 or self.iterations < 0:
            raise InputError("population, tournament and children must be 1 or more, iterations 0 or more")
        if unknown := [name for name in self.objectives if name not in OBJECTIVES and not is_user_code(name)]:
            raise InputError(
                f"no objective is named {unknown[0]!r}; known are {', '.join(OBJECTIVES)}, or module:function for one "
                "of your own"
            )
        if "score" not in self.objectives or len(set(self.objectives)) < len(self.objectives):
            raise InputError(
                f"objectives are {','.join(self.objectives)}; score and any costs beside it are expected, each once"
            )

    @property
    def own_objectives(self) -> tuple[str, ...]:
        """Those that are functions of a user's own, by their names."""
        return tuple(name for name in self.objectives if is_user_code(name))

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
class _Member:
    """A candidate of the population.

    Attributes:
        result: Its own.
        point: What it came to in each objective.
    """

    result: Result
    point: Point


@strategy("evolution")
class RegularizedEvolution(Strategy):
    """Mutates the winners of tournaments, and lets the oldest die.

    Each round draws a tournament from the population, mutates its winner, and lets the oldest die (Real et al. 2019).
    With costs as objectives beside the score, two of the tournament's members that no other member dominates are drawn
    and the less crowded one wins: the comparison of NSGA-II (Deb et al. 2002, section III). Were it made between all of
    them, the ends of the front would always win. The oldest die all the same; the whole history has the front.

    Args:
        settings: How to evolve.
    """

    weighs_objectives = True

    def __init__(self, settings: EvolutionSettings | None = None) -> None:
        self.settings = EvolutionSettings() if settings is None else settings
        self.iteration = 0
        self._alive: deque[_Member] = deque()
        self._asked: list[Evaluation] = []

    @classmethod
    def from_settings(cls, settings: Any) -> Self:
        """See `Strategy.from_settings`."""
        return cls(settings.evolution)

    def begin(self, problem: Problem) -> None:
        """See `Strategy.begin`."""
        self.settings.check_rounds()
        super().begin(problem)

    def ask(self) -> list[Evaluation]:
        """The next round: the initial population first, then children; empty when the search is over.

        When no new candidate is left, the search ends early, with a round that may be short.

        Raises:
            InputError: The space, or the part of it within the limits, is too small for an initial population.
        """
        if self._asked:
            raise RuntimeError("the last round's results have not been told")
        settings = self.settings
        if not self._alive:
            self._asked = self._round(None, 0, settings.population)
            # Without rounds to come it may be short.
            if (found := len(self._asked)) < (settings.population if settings.iterations else 1):
                raise InputError(
                    f"found only {found} of the {settings.population} distinct candidates that a population "
                    "begins with; raise the limits, or lower --population and --tournament"
                )
        elif self.iteration <= settings.iterations:
            mutations = settings.mutations(settings.iterations - self.iteration + 1)
            self._asked = self._round(self._parent(), mutations, settings.children)
            if len(self._asked) < settings.children:
                self.iteration = settings.iterations
        return list(self._asked)

    def tell(self, results: Sequence[Result]) -> None:
        """The results of the last round, in its order."""
        if len(results) != len(self._asked):
            raise ValueError(f"{len(results)} results where {len(self._asked)} evaluations were asked for")
        self._alive.extend(_Member(result, self.problem.point(result)) for result in results)
        while len(self._alive) > self.settings.population:
            self._alive.popleft()
        self._asked = []
        self.iteration += 1

    def _parent(self) -> Evaluation:
        """The winner of a tournament."""
        rng, members = self.problem.rng, list(self._alive)
        drawn = rng.sample(members, self.settings.drawn)
        if self.settings.objectives == ("score",):
            return max(drawn, key=lambda member: member.result.score).result.evaluation
        points = [member.point for member in drawn]
        front = first_front(points)
        apart = crowding([points[place] for place in front])
        pair = rng.sample(range(len(front)), min(2, len(front)))
        return drawn[front[max(pair, key=apart.__getitem__)]].result.evaluation

    def _round(self, parent: Evaluation | None, mutations: int, count: int) -> list[Evaluation]:
        """So many new candidates, or fewer when no more are found."""
        found: list[Evaluation] = []
        parents = () if parent is None else (parent.candidate.id,)
        while len(found) < count:
            candidate = self.problem.random() if parent is None else self.problem.child(parent.candidate, mutations)
            if candidate is None:
                break
            found.append(Evaluation(candidate, parents=parents, iteration=self.iteration))
        return found
