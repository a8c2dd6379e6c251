"""Regularised evolution (Real et al. 2019) with the settings of NASRec and SiGeo, as an ask-and-tell object."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from recnas.errors import InputError
from recnas.space import Architecture, SearchSpace

TRIES = 1000
"""Draws of a child before another mutation is added to make it new."""


@dataclass(frozen=True)
class EvolutionSettings:
    """How the search evolves; the defaults are NASRec's and SiGeo's.

    Attributes:
        population: Random candidates to begin with, and how many stay alive.
        iterations: Rounds of parents and children.
        tournament: Members drawn each round; the best is the parent.
        children: New candidates each round, in place of as many of the oldest.

    Raises:
        InputError: A value is out of its range.
    """

    population: int = 128
    iterations: int = 240
    tournament: int = 64
    children: int = 8

    def __post_init__(self) -> None:
        if self.population < 1 or self.tournament < 1 or self.children < 1 or self.iterations < 0:
            raise InputError("population, tournament and children must be 1 or more, iterations 0 or more")
        if self.tournament > self.population:
            raise InputError(
                f"a tournament of {self.tournament} cannot be drawn from a population of {self.population}"
            )
        if self.children > self.population:
            raise InputError(f"{self.children} children cannot replace the oldest of a population of {self.population}")

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


class RegularizedEvolution:
    """Proposes candidates and learns from their scores.

    Args:
        space: Where candidates come from.
        settings: How to evolve.
        rng: The source of every choice: the same state and the same scores give the same proposals.

    Example:
        >>> evolution = RegularizedEvolution(space, EvolutionSettings(), random.Random(0))
        >>> while proposals := evolution.ask():
        ...     evolution.tell([score(proposal.arch) for proposal in proposals])
    """

    def __init__(self, space: SearchSpace, settings: EvolutionSettings, rng: random.Random) -> None:
        self.space, self.settings, self.rng = space, settings, rng
        self.iteration = 0
        self._alive: deque[tuple[Proposal, float]] = deque()
        self._seen: set[str] = set()
        self._asked: list[Proposal] = []

    def ask(self) -> list[Proposal]:
        """The next round: the initial population first, then children; empty when the search is over.

        Raises:
            InputError: The space has too few distinct candidates.
        """
        if self._asked:
            raise RuntimeError("the last round's scores have not been told")
        if not self._alive:
            self._asked = [self._new(None, 0) for _ in range(self.settings.population)]
        elif self.iteration <= self.settings.iterations:
            members = self.rng.sample(list(self._alive), self.settings.tournament)
            parent, _ = max(members, key=lambda member: member[1])
            count = self.settings.mutations(self.settings.iterations - self.iteration + 1)
            self._asked = [self._new(parent, count) for _ in range(self.settings.children)]
        return list(self._asked)

    def tell(self, scores: Sequence[float]) -> None:
        """The scores of the last round's proposals, in their order; higher is better."""
        self._alive.extend(zip(self._asked, scores, strict=True))
        while len(self._alive) > self.settings.population:
            self._alive.popleft()
        self._asked = []
        self.iteration += 1

    def _new(self, parent: Proposal | None, mutations: int) -> Proposal:
        for attempt in range(100 * TRIES):
            if parent is None:
                arch = self.space.sample(self.rng)
            else:
                arch = self.space.mutate(parent.arch, self.rng, mutations + attempt // TRIES)
            if (name := arch.id) not in self._seen:
                self._seen.add(name)
                return Proposal(arch, name, () if parent is None else (parent.id,), self.iteration)
        raise InputError(f"no new candidate found after {len(self._seen)}; the search space has too few")
