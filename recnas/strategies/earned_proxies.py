"""Proxies that have to earn their place in a search that trains: those that order what has ended, and no others."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from recnas.candidates.candidate import Candidate
from recnas.candidates.network import are_trees
from recnas.strategies.surrogate import most_promising
from recnas.strategies.within_kinds import Agreement, agreements

LOOKS = (10, 15, 22, 33, 50, 75, 110, 165)
"""Networks that have ended when it is looked at how well proxies order them."""
ERROR = 0.05
"""Chance of a search in which a proxy is used that says nothing; each look has its share."""
OFFERED = 4
"""Proposals of which the one is taken that the best proxy ranks first."""
DRAWS = 60
"""Proposals that are drawn to find as many of a kind."""
SHORTLIST = 8
"""Of what a surrogate is offered, those that it sees once more, with proxies."""

Proposal = tuple[Candidate, tuple[str, ...]]
"""A candidate, and what it was made from."""


class CandidateProxies(Protocol):
    """What gives proxies of whole candidates, and is told which of them are used.

    Attributes:
        names: Those that can be had.
    """

    names: Sequence[str]

    def values(self, candidate: Candidate, names: Sequence[str]) -> Mapping[str, float]:
        """Proxies of a candidate whose network is trained; NaN for what is unknown. The same again gives the same."""

    def use(self, used: Mapping[str, Agreement], since: int) -> None:
        """Others are used from now on.

        Args:
            used: All that are, and how well each ordered what had ended.
            since: The place of the next candidate, from 1.
        """


class EarnedProxies:
    """Measures how well proxies order the networks of a search, and uses those that do.

    A network that was trained once more with another seed, or from other labels, counts once. After 10, 15, 22 …
    networks have ended, those proxies earn their place whose order within kinds chance would not give (`agreements`),
    in all looks together with a probability of 5 %. One that has earned it keeps it while its τ has the sign that it
    had: what it chose itself is a poor sample to judge it by.

    Args:
        proxies: What gives them; None: none are used.
    """

    def __init__(self, proxies: CandidateProxies | None) -> None:
        self._proxies = proxies
        self._kinds: list[str] = []
        self._losses: list[float] = []
        self._values: list[Mapping[str, float]] = []
        self._known: set[Candidate] = set()
        self._fed: set[object] = set()
        self._looks = list(LOOKS)
        self.used: dict[str, Agreement] = {}

    def learn(self, candidate: Candidate, kind: str, loss: float, asked: int) -> None:
        """Notes what a network came to.

        Args:
            candidate: Whose training has ended; of trees nothing is noted.
            kind: That of its network.
            loss: What it came to, infinite where it diverged.
            asked: Candidates of the search so far.
        """
        if self._proxies is None or are_trees(candidate.network):
            return
        self._fed.add(candidate.inputs)
        if (alike := _untrained(candidate)) in self._known:
            return
        self._known.add(alike)
        values = self._proxies.values(candidate, self._proxies.names)
        if not any(math.isfinite(value) for value in values.values()):
            return
        self._kinds.append(kind)
        self._losses.append(loss)
        self._values.append(values)
        if self._looks and len(self._kinds) >= self._looks[0]:
            self._looks = [look for look in self._looks if look > len(self._kinds)]
            self._look(asked)

    def best_of(
        self, draw: Callable[[], Proposal], kind_of: Callable[[Candidate], str], is_open: Callable[[Candidate], bool]
    ) -> Proposal:
        """The first proposal of a source, or of several of its kind the one that the best proxy ranks first.

        All have the inputs of the first: what a candidate is fed must be fitted, which only those are worth that are
        trained.

        Args:
            draw: Gives a proposal.
            kind_of: The kind of a candidate's network.
            is_open: Whether a candidate may be trained.
        """
        first = draw()
        if not self.used or are_trees(first[0].network) or not is_open(first[0]):
            return first
        kind, offered = kind_of(first[0]), {first[0]: first[1]}
        for _ in range(DRAWS):
            if len(offered) == OFFERED:
                break
            candidate, parents = draw()
            if kind_of(candidate) == kind:
                candidate = replace(candidate, inputs=first[0].inputs)
                if is_open(candidate):
                    offered.setdefault(candidate, parents)
        name = max(self.used, key=lambda name: abs(self.used[name].strength))
        sign = math.copysign(1.0, self.used[name].tau)

        def rank(candidate: Candidate) -> float:
            value = sign * self._proxies.values(candidate, (name,))[name]
            return -math.inf if math.isnan(value) else value

        best = max(offered, key=rank)
        return best, offered[best]

    def most_promising(
        self,
        known: Sequence[Candidate],
        losses: Sequence[float],
        offered: Sequence[Candidate],
        encode: Callable[[Candidate], Sequence[float]],
        rng: random.Random,
    ) -> int:
        """The place of what seems best of some candidates, to a surrogate that knows the used proxies, too.

        It is shown all without them, and of the best the proxies: of those alone that are fed as something that was
        trained.

        Args:
            known: Candidates that were trained.
            losses: What they came to, smaller is better.
            offered: Candidates to choose from.
            encode: Gives a candidate as numbers.
            rng: The source of every choice.
        """
        encoded = [encode(candidate) for candidate in known], [encode(candidate) for candidate in offered]
        if not self.used:
            return most_promising(encoded[0], losses, encoded[1], rng)[0]
        places = most_promising(encoded[0], losses, encoded[1], rng, SHORTLIST)
        with_proxies = [[*numbers, *self._numbers(one)] for numbers, one in zip(encoded[0], known, strict=True)]
        shortlist = [[*encoded[1][place], *self._numbers(offered[place])] for place in places]
        return places[most_promising(with_proxies, losses, shortlist, rng)[0]]

    def _numbers(self, candidate: Candidate) -> list[float]:
        """The used proxies of a candidate; NaN where they are unknown."""
        if are_trees(candidate.network) or candidate.inputs not in self._fed:
            return [math.nan] * len(self.used)
        values = self._proxies.values(candidate, tuple(self.used))
        return [values[name] for name in self.used]

    def _look(self, asked: int) -> None:
        """Decides which proxies are used from now on."""
        figures = {name: [values[name] for values in self._values] for name in self._proxies.names}
        found, before = agreements(self._kinds, self._losses, figures), self.used
        self.used = {
            name: agreement
            for name, agreement in found.items()
            if agreement.chance <= ERROR / len(LOOKS) or (name in before and agreement.tau * before[name].tau > 0)
        }
        if set(self.used) != set(before):
            self._proxies.use(self.used, asked + 1)


def _untrained(candidate: Candidate) -> Candidate:
    """What candidates have in common of which one was trained again, from another seed or from other labels."""
    return replace(candidate, recipe=replace(candidate.recipe, seed=0, soft_labels=0.0))
