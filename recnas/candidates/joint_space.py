"""The joint space of a search: networks × recipes × inputs, from which whole candidates are drawn. Needs no torch."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from typing import Any

from recnas.candidates.candidate import Candidate
from recnas.candidates.defaults import DEFAULT_INPUTS, DEFAULT_RECIPE, own_candidate, with_what_is_said
from recnas.candidates.families import TREES, find_family
from recnas.candidates.network import Baseline, are_trees
from recnas.candidates.recipe import Recipe
from recnas.candidates.recipe_choices import (
    NETWORK,
    OF_TREES,
    RECIPE_CHOICES,
    Options,
    Span,
    choices_of,
    value_at,
    with_choices,
)
from recnas.features.inputs import Inputs
from recnas.space import Architecture, SearchSpace
from recnas.space.choices import Choice
from recnas.space.search_space import Place, changed
from recnas.space.search_space import value_at as value_of
from recnas.util.errors import InputError

JOINT_IDS = "inputs.crosses"
"""The place of the joint ids, whose value is how many of the proposed ones are taken, the best first."""
CROSS_PENALTY = "recipe.optimization.cross_penalty"
DROPPED = "inputs.dropped"
"""The place of the features that are not fed, whose value is how many of the least useful ones these are."""
WHOLE = "network"
"""The place of an architecture that rules derive; its value is the architecture."""
DROPS_NOTHING = 0.5
"""How often a draw drops nothing."""
COUNTS = (0, 1, 2, 4, 8, 16)
"""How many of what is ranked are taken, or all."""
STEP = 0.25
"""How far a mutation moves a number, as a share of its span: the standard deviation, in logarithms."""
MOST_TRIES = 100
"""Draws of a mutation before it is given up that one differs from what it came from."""

Table = Mapping[str, Span | Options]
"""Choices by their places."""


@dataclass(frozen=True)
class JointSpace:
    """Whole candidates: a family with its choices or an architecture, a recipe, and inputs.

    Attributes:
        families: Names of families of networks.
        space: Whose architectures are candidates beside the families'; None for no architectures.
        joint_ids: Features that may have a joint id, the most promising first, as in `Inputs.crosses`.
        of_trees: Those of them that trees may have; ids of many values lead trees astray.
        recipe: Of architectures; what is not as by default in it a user has said, and every candidate has it.
        inputs: Likewise; those of `joint_ids` may come to its own.
        droppable: Features that may be dropped, the least useful first, beside those that `inputs` drops.
        no_choice: Places of `RECIPE_CHOICES` of which a data set leaves no choice: every candidate has what these have.
    """

    families: tuple[str, ...]
    space: SearchSpace | None = None
    joint_ids: tuple[str, ...] = ()
    of_trees: tuple[str, ...] = ()
    recipe: Recipe = DEFAULT_RECIPE
    inputs: Inputs = DEFAULT_INPUTS
    droppable: tuple[str, ...] = ()
    no_choice: tuple[str, ...] = ()

    @cached_property
    def fixed(self) -> frozenset[str]:
        """The places in which every candidate has the same: what a user has said, and what there is no choice of."""
        said, usual = (
            Candidate(Baseline("dnn"), recipe, inputs)
            for recipe, inputs in ((self.recipe, self.inputs), (DEFAULT_RECIPE, DEFAULT_INPUTS))
        )
        places = (*RECIPE_CHOICES, CROSS_PENALTY)
        return frozenset((*self.no_choice, *(item for item in places if value_at(said, item) != value_at(usual, item))))

    @property
    def kinds(self) -> list[str]:
        """What a network may be: the families' names, and the space's."""
        return [*self.families, *([self.space.name] if self.space is not None else [])]

    def kind_of(self, candidate: Candidate) -> str:
        """Which of `kinds` a candidate's network is."""
        return candidate.network.name if isinstance(candidate.network, Baseline) else self.space.name

    def __contains__(self, candidate: Candidate) -> bool:
        """Whether a candidate's network is one of the space."""
        network = candidate.network
        if isinstance(network, Baseline):
            return network.name in self.families
        return self.space is not None and network in self.space

    def table(self, kind: str) -> dict[str, Span | Options]:
        """Every choice of candidates of a kind by its place; an architecture's own are the space's to draw."""
        family, of_trees = find_family(kind), kind in TREES
        chosen = choices_of({} if family is None else family.choices, of_trees)
        if joint_ids := self.of_trees if of_trees else self.joint_ids:
            chosen[JOINT_IDS] = Options(_counts_of(joint_ids))
            if not of_trees:
                chosen[CROSS_PENALTY] = Span(3e-4, 3e-2)
        if self.droppable:
            chosen[DROPPED] = Options(_counts_of(self.droppable), DROPS_NOTHING)
        return {place: item for place, item in chosen.items() if place not in self.fixed}

    def choices(self, kind: str) -> Mapping[str, Span | Options | Choice]:
        """What there is to choose of candidates of a kind, by place: that of `table`, and of an architecture its own.

        The place of an architecture's choice is `network.`, the block's from 0, and the attribute of `Block`, such as
        `network.2.fm`; of a branch it is `network.branches.` and its name.
        """
        return self._choices[kind]

    def decisions(self) -> dict[str, dict[str, str]]:
        """By kind and place a name for each of `choices`, the same where kinds share a choice of the same options.

        Raises:
            InputError: Architectures are derived by rules, and have no choices.
        """
        if self._grows:
            raise InputError(
                f"search space {self.space.name} has rules in the place of choices that could be decided one by one; "
                "take another --strategy, such as evolution-trained, local-search or bananas, or another --space"
            )
        found: dict[str, dict[str, str]] = {}
        shared: dict[str, Span | Options | Choice] = {}
        for kind in self.kinds:
            own = found.setdefault(kind, {})
            for place, item in self.choices(kind).items():
                is_own = place.startswith(NETWORK) or shared.setdefault(place, item) != item
                own[place] = f"{kind}.{place}" if is_own else place
        return found

    @cached_property
    def _choices(self) -> dict[str, dict[str, Span | Options | Choice]]:
        """`choices` of each kind; none of a single option."""
        found: dict[str, dict[str, Span | Options | Choice]] = {}
        for kind in self.kinds:
            table = self.table(kind)
            if self.space is not None and kind == self.space.name:
                own = self._table_of_architectures
                table |= {place: own[item] for place, item in self._of_architectures.items()}
            found[kind] = {place: item for place, item in table.items() if len(list(islice(item.options(), 2))) > 1}
        return found

    @cached_property
    def _of_architectures(self) -> dict[str, Place]:
        """Places of architectures' choices, of which there is more than one option, in the space's own table."""
        table = self._table_of_architectures
        return {f"{NETWORK}{place[0]}.{place[1]}": place for place, choice in table.items() if choice.free}

    @cached_property
    def _table_of_architectures(self) -> Mapping[Place, Choice]:
        """The space's own table; empty where there is none."""
        return {} if self.space is None or self._grows else self.space.table()

    @property
    def _grows(self) -> bool:
        """Whether architectures are derived by rules, so that each is changed as a whole, in the place `WHOLE`."""
        return self.space is not None and not self.space.has_table

    def joint_ids_of(self, candidate: Candidate) -> tuple[str, ...]:
        """Those that a candidate may have, the most promising first."""
        return self.of_trees if are_trees(candidate.network) else self.joint_ids

    def kept(self, candidate: Candidate) -> Candidate:
        """A candidate with what a user has said, and with what there is no choice of as the space has it."""
        own = Candidate(Baseline("dnn"), self.recipe, self.inputs)
        found = with_what_is_said(candidate, self.recipe, self.inputs)
        places = [place for place in self.no_choice if candidate.recipe is not None or place in OF_TREES]
        return with_choices(found, {place: value_at(own, place) for place in places})

    def own(self, kind: str) -> Candidate:
        """The candidate that a kind begins with: a family's own, or the space's first architecture."""
        if self.space is not None and kind == self.space.name:
            return Candidate(self.space.first(), self.recipe, self.inputs)
        return self.kept(own_candidate(kind))

    def draw(self, rng: random.Random, kind: str | None = None) -> Candidate:
        """A candidate each of whose choices is drawn anew.

        Args:
            rng: The source of every choice.
            kind: Which of `kinds` it is of; None to draw that as well.
        """
        kind = rng.choice(self.kinds) if kind is None else kind
        table = self.table(kind)
        if self.space is not None and kind == self.space.name:
            found = Candidate(self.space.sample(rng), self.recipe, self.inputs)
        else:
            found = self.own(kind)
        return self.with_values(found, {place: item.draw(rng) for place, item in table.items()})

    def mutate(self, candidate: Candidate, rng: random.Random, changes: int = 1) -> Candidate:
        """A candidate with other values in some places, numbers not far from where they were; it differs.

        Args:
            candidate: What it is made from.
            rng: The source of every choice.
            changes: How many places, at most.
        """
        table = self.table(self.kind_of(candidate))
        is_searched = isinstance(candidate.network, Architecture)
        # An architecture is as many choices as a family has.
        places: Sequence[str] = [*table, *([NETWORK] * 4 if is_searched else [])]
        found = candidate
        for _ in range(MOST_TRIES):
            for place in rng.sample(places, min(changes, len(places))):
                if place == NETWORK:
                    found = replace(found, network=self.space.mutate(found.network, rng, 2))
                else:
                    found = self.with_values(found, {place: _moved(table[place], self.value(found, place), rng)})
            if found.id != candidate.id:
                break
        return found

    def moves(self, candidate: Candidate) -> dict[str, list[Any]]:
        """What else a candidate might have in each place of `choices`; of numbers in a span some of them."""
        now = self.values(candidate)
        whole = {WHOLE: list(self.space.neighbours(candidate.network))} if WHOLE in now else {}
        return whole | {
            place: [value for value in item.options() if value != now[place]]
            for place, item in self.choices(self.kind_of(candidate)).items()
        }

    def neighbours(self, candidate: Candidate) -> Iterator[Candidate]:
        """Every candidate that differs from one in a single choice; its kind is none of them.

        Those that compute the same, as a choice is of a part that cannot reach the logit, are left out.
        """
        for place, values in self.moves(candidate).items():
            for value in values:
                found = self.with_values(candidate, {place: value})
                if found.id != candidate.id:
                    yield found

    def values(self, candidate: Candidate) -> dict[str, Any]:
        """What a candidate has in every place of `choices`, and the architecture itself if it is derived by rules."""
        network, found = candidate.network, {}
        if isinstance(network, Architecture):
            if self._grows:
                found[WHOLE] = network
            own = {place: value_of(network, item) for place, item in self._of_architectures.items()}
        else:
            own = {NETWORK + name: value for name, value in network.all_choices.items()}
        for place in self.choices(self.kind_of(candidate)):
            found[place] = own[place] if place in own else self.value(candidate, place)
        return found

    def value(self, candidate: Candidate, place: str) -> Any:
        """What a candidate has in a place of `choices`."""
        if place.startswith(NETWORK):
            if isinstance(network := candidate.network, Architecture):
                return value_of(network, self._of_architectures[place])
            return network.all_choices[place.removeprefix(NETWORK)]
        if place == JOINT_IDS:
            return sum(cross in self.joint_ids_of(candidate) for cross in candidate.inputs.crosses)
        if place == DROPPED:
            return sum(name in self.droppable for name in candidate.inputs.dropped)
        return value_at(candidate, place)

    def with_values(self, candidate: Candidate, values: Mapping[str, Any]) -> Candidate:
        """A candidate with other values in places of `choices`, or another architecture in the place `WHOLE`."""
        if WHOLE in values:
            candidate = replace(candidate, network=values[WHOLE])
        own = {place: value for place, value in values.items() if place.startswith(NETWORK)}
        if own and isinstance(network := candidate.network, Architecture):
            exchanged = {self._of_architectures[place]: value for place, value in own.items()}
            candidate = replace(candidate, network=changed(network, exchanged))
        elif own:
            chosen = {place.removeprefix(NETWORK): value for place, value in own.items()}
            candidate = replace(candidate, network=Baseline(network.name, network.all_choices | chosen))
        others = {place: value for place, value in values.items() if place != WHOLE and not place.startswith(NETWORK)}
        # What a user asked for stays.
        if JOINT_IDS in others:
            said = tuple(cross for cross in self.inputs.crosses if cross not in self.joint_ids)
            others[JOINT_IDS] = said + self.joint_ids_of(candidate)[: others[JOINT_IDS]]
        if DROPPED in others:
            others[DROPPED] = self.inputs.dropped + self.droppable[: others[DROPPED]]
        return with_choices(candidate, others)

    def encode(self, candidate: Candidate) -> list[float]:
        """A candidate as numbers, as many for each of the space: what has no place in its kind is -1."""
        kind = self.kind_of(candidate)
        numbers = [-1.0] * self._width
        numbers[: len(self.kinds) + 1] = [*(float(kind == other) for other in self.kinds), candidate.soft_labels]
        for place, value in self.values(candidate).items():
            where, written = self.encoded(kind, place, value)
            numbers[where] = written
        return numbers

    def encoded(self, kind: str, place: str, value: Any) -> tuple[slice, list[float]]:
        """Where among the numbers of a candidate a value of one of its choices is written, and how.

        Args:
            kind: The candidate's.
            place: One of `choices` of that kind, or `WHOLE`.
            value: What the candidate has there.
        """
        if place == WHOLE:
            return self._segments[kind, place], self.space.encode(value)
        return self._segments[kind, place], _numbers(self.choices(kind)[place], value)

    @cached_property
    def _segments(self) -> dict[tuple[str, str], slice]:
        """Where a kind's choice is written; kinds that share a choice write it in the same place."""
        found: dict[tuple[str, str], slice] = {}
        end = len(self.kinds) + 1
        if self._grows:
            found[self.space.name, WHOLE] = slice(end, end := end + len(self.space.encode(self.space.first())))
        for kind in self.kinds:
            for place, item in self.choices(kind).items():
                alike = [] if place.startswith(NETWORK) else [found.get((other, place)) for other in self.kinds]
                if (where := next(filter(None, alike), None)) is None:
                    where = slice(end, end := end + len(_numbers(item, next(item.options()))))
                found[kind, place] = where
        return found

    @cached_property
    def _width(self) -> int:
        """Numbers of a candidate."""
        return max((where.stop for where in self._segments.values()), default=len(self.kinds) + 1)


def _counts_of(ranked: Sequence[str]) -> tuple[int, ...]:
    """How many of what is ranked may be taken."""
    return (*(count for count in COUNTS if count < len(ranked)), len(ranked))


def _moved(item: Span | Options, now: Any, rng: random.Random) -> Any:
    """Another value: a number near the one it was, a neighbour of one of ordered options, or any of them."""
    if isinstance(item, Span):
        return item.near(now, STEP, rng) if now else item.draw(rng)
    others = [value for value in item.values if value != now]
    if not others:
        return now
    ordered = sorted(value for value in item.values if isinstance(value, int | float))
    if now in ordered:
        # Of numbers among which a word is, such as a choice to be found out, those near it.
        place = ordered.index(now)
        return rng.choice(ordered[max(0, place - 1) : place] + ordered[place + 1 : place + 2])
    return rng.choice(others)


def _numbers(item: Span | Options | Choice, value: Any) -> list[float]:
    """A choice's value as numbers, as many for each."""
    return item.encode(value) if isinstance(item, Choice) else [_number(item, value)]


def _number(item: Span | Options, value: Any) -> float:
    """A choice's value as a number."""
    if isinstance(item, Span):
        return item.place_of(value)
    if value in item.values:
        values = item.values
        if all(isinstance(other, int | float) for other in values):
            values = tuple(sorted(values))
        return values.index(value) / max(1, len(values) - 1)
    return -1.0
