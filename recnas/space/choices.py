"""The table of choices that makes a search space: what each part of an architecture may be.

All that a search does with a choice is a method of it: how many options it has, how one is drawn, whether a value is
one, which others there are, and how a value is written as numbers.
"""

from __future__ import annotations

import math
import random
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from itertools import combinations, product
from typing import Any

from recnas.space.block import Block


def drawn(values: Sequence[Any], share: float | None, rng: random.Random) -> Any:
    """One of some values.

    Args:
        values: At least one; with a share two.
        share: How likely the first one is; None: as likely as each of the others.
        rng: The source of the draw.
    """
    if share is None:
        return rng.choice(values)
    return values[0] if rng.random() < share else rng.choice(values[1:])


def likelihoods(count: int, share: float | None) -> list[float]:
    """How likely `drawn` gives each of some values.

    Args:
        count: How many there are.
        share: As of `drawn`.
    """
    return [1 / count] * count if share is None else [share, *[(1 - share) / (count - 1)] * (count - 1)]


class Choice(ABC):
    """What one part of an architecture may be."""

    @property
    @abstractmethod
    def first(self) -> Any:
        """The first option: the smallest width, the fewest inputs."""

    @property
    @abstractmethod
    def size(self) -> int:
        """How many options there are, at least 1."""

    @abstractmethod
    def options(self) -> Iterator[Any]:
        """All options."""

    @abstractmethod
    def draw(self, rng: random.Random) -> Any:
        """A random option."""

    @property
    @abstractmethod
    def likelihoods(self) -> list[float]:
        """How likely `draw` gives each of `options`, in their order."""

    @abstractmethod
    def allows(self, value: Any) -> bool:
        """Whether a value is an option."""

    @abstractmethod
    def encode(self, value: Any) -> list[float]:
        """An option as numbers, as many for each."""

    @property
    def free(self) -> bool:
        """Whether there is anything to choose."""
        return self.size > 1


@dataclass(frozen=True)
class OneOf(Choice):
    """One of some values, all alike likely, or the first one more.

    Attributes:
        values: At least one, the smallest first if they have an order.
        ordered: Whether they are sizes, of which near ones are alike: written as one number, their place from 0 to 1.
        share: How likely the first one is drawn; None: as likely as each of the others.
    """

    values: tuple[Any, ...]
    ordered: bool = False
    share: float | None = None

    @property
    def first(self) -> Any:
        return self.values[0]

    @property
    def size(self) -> int:
        return len(self.values)

    def options(self) -> Iterator[Any]:
        return iter(self.values)

    def draw(self, rng: random.Random) -> Any:
        return drawn(self.values, self.share, rng)

    @property
    def likelihoods(self) -> list[float]:
        return likelihoods(self.size, self.share)

    def allows(self, value: Any) -> bool:
        return value in self.values

    def encode(self, value: Any) -> list[float]:
        place = self.values.index(value)
        if self.ordered:
            return [place / max(1, len(self.values) - 1)]
        return [float(other == place) for other in range(len(self.values))]


@dataclass(frozen=True)
class OneOperator(Choice):
    """One of some operators, as a tuple of one; without any, the empty tuple."""

    names: tuple[str, ...]

    @property
    def first(self) -> tuple[str, ...]:
        return self.names[:1]

    @property
    def size(self) -> int:
        return max(1, len(self.names))

    def options(self) -> Iterator[tuple[str, ...]]:
        return iter([(name,) for name in self.names] or [()])

    def draw(self, rng: random.Random) -> tuple[str, ...]:
        return (rng.choice(self.names),) if self.names else ()

    @property
    def likelihoods(self) -> list[float]:
        return likelihoods(self.size, None)

    def allows(self, value: Any) -> bool:
        return len(value) == min(1, len(self.names)) and set(value) <= set(self.names)

    def encode(self, value: Any) -> list[float]:
        return [float(name in value) for name in self.names]


@dataclass(frozen=True)
class Subset(Choice):
    """Some of a pool, ascending: the least count + Binomial(rest, ½) of them, then which, all alike likely.

    Attributes:
        pool: Ascending.
        counts: How many may be taken.
    """

    pool: tuple[int, ...]
    counts: range

    @property
    def first(self) -> tuple[int, ...]:
        return self.pool[: self.counts[0]]

    @property
    def size(self) -> int:
        return sum(math.comb(len(self.pool), count) for count in self.counts)

    def options(self) -> Iterator[tuple[int, ...]]:
        return (chosen for count in self.counts for chosen in combinations(self.pool, count))

    def draw(self, rng: random.Random) -> tuple[int, ...]:
        count = self.counts[0] + sum(rng.random() < 0.5 for _ in range(len(self.counts) - 1))
        return tuple(sorted(rng.sample(self.pool, count)))

    @property
    def likelihoods(self) -> list[float]:
        rest = len(self.counts) - 1
        of_count = {count: math.comb(rest, count - self.counts[0]) / 2**rest for count in self.counts}
        return [of_count[len(chosen)] / math.comb(len(self.pool), len(chosen)) for chosen in self.options()]

    def allows(self, value: Any) -> bool:
        return set(value) <= set(self.pool) and len(value) in self.counts

    def encode(self, value: Any) -> list[float]:
        return [float(item in value) for item in self.pool]


NOTHING = OneOf((None,))
"""The choice of an operand where no operator has one."""


@dataclass(frozen=True, kw_only=True)
class BlockChoices:
    """What one block may be: a choice for each attribute of `Block`, in the order in which they are drawn."""

    dense_width: OneOf
    sparse_width: OneOf
    left: OneOf = NOTHING
    right: OneOf = NOTHING
    dense_to_sparse: OneOf
    fm: OneOf
    dense_operators: OneOperator
    sparse_operators: OneOperator
    dense_inputs: Subset
    sparse_inputs: Subset

    def items(self) -> Iterator[tuple[str, Choice]]:
        """The attributes of `Block` with what each may be."""
        return ((item.name, getattr(self, item.name)) for item in fields(self))

    def free(self) -> dict[str, Choice]:
        """Those of which there is more than one option."""
        return {name: choice for name, choice in self.items() if choice.free}

    def first(self) -> Block:
        """The block that takes the first option of every choice."""
        return Block(**{name: choice.first for name, choice in self.items()})

    def smallest(self, read: set[int] | None) -> Iterator[Block]:
        """The blocks that may cost least: the first option of every choice, but any operators.

        Args:
            read: Outputs of which any may be read; None for the first option of inputs, too.
        """
        dense_inputs, sparse_inputs = (
            [inputs.first] if read is None else [chosen for chosen in inputs.options() if read.issuperset(chosen)]
            for inputs in (self.dense_inputs, self.sparse_inputs)
        )
        for dense, sparse, *inputs in product(
            self.dense_operators.options(), self.sparse_operators.options(), dense_inputs, sparse_inputs
        ):
            chosen = dict(zip(("dense_inputs", "sparse_inputs"), inputs, strict=True))
            yield replace(self.first(), dense_operators=dense, sparse_operators=sparse, **chosen)

    def full(self) -> Block:
        """The supernet's full path: every operator on, every input read, largest widths, mergers on."""
        return Block(
            dense_operators=self.dense_operators.names,
            sparse_operators=self.sparse_operators.names,
            dense_width=max(self.dense_width.values),
            sparse_width=max(self.sparse_width.values),
            dense_inputs=self.dense_inputs.pool,
            sparse_inputs=self.sparse_inputs.pool,
            left=self.left.values[-1],
            right=self.right.values[-1],
            dense_to_sparse=True in self.dense_to_sparse.values,
            fm=True in self.fm.values,
        )

    @property
    def size(self) -> int:
        """How many different blocks there are."""
        return math.prod(choice.size for _, choice in self.items())

    def allows(self, block: Block) -> bool:
        """Whether a block is one of them."""
        return all(choice.allows(getattr(block, name)) for name, choice in self.items())
