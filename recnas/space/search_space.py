"""Search spaces: which architectures may be built, and how they are drawn, changed and counted."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from recnas.errors import InputError
from recnas.space.architecture import ATTENTION, DOT_PRODUCT, EFC, FC, GATING, SUM, Architecture, Block

DENSE_WIDTHS = (16, 32, 64, 128, 256, 512, 768, 1024)
SPARSE_WIDTHS = (16, 32, 48, 64)
NUM_BLOCKS = 7
MAX_INPUTS = 4
PATIENCE = 50
"""Candidates refused one after another before those that follow are pulled within limits."""


@dataclass(frozen=True)
class BlockChoices:
    """What one block may be. Pools hold the earlier outputs that can be read, counts the allowed numbers of inputs."""

    dense_operators: tuple[str, ...]
    sparse_operators: tuple[str, ...]
    dense_widths: tuple[int, ...]
    sparse_widths: tuple[int, ...]
    dense_inputs: tuple[int, ...]
    dense_input_counts: range
    sparse_inputs: tuple[int, ...]
    sparse_input_counts: range
    lefts: tuple[int, ...]
    rights: tuple[int, ...]
    dense_to_sparse: tuple[bool, ...]
    fm: tuple[bool, ...]

    def draws(self) -> dict[str, Callable[[random.Random], Any]]:
        """For each attribute of `Block` that can take more than one value: how to draw it."""
        free: dict[str, Callable[[random.Random], Any]] = {}
        for name, options in (
            ("dense_width", self.dense_widths),
            ("sparse_width", self.sparse_widths),
            ("left", self.lefts),
            ("right", self.rights),
            ("dense_to_sparse", self.dense_to_sparse),
            ("fm", self.fm),
        ):
            if len(options) > 1:
                free[name] = lambda rng, options=options: rng.choice(options)
        for name, options in (
            ("dense_operators", self.dense_operators),
            ("sparse_operators", self.sparse_operators),
        ):
            if len(options) > 1:
                free[name] = lambda rng, options=options: (rng.choice(options),)
        for name, pool, counts in (
            ("dense_inputs", self.dense_inputs, self.dense_input_counts),
            ("sparse_inputs", self.sparse_inputs, self.sparse_input_counts),
        ):
            if _subsets(pool, counts) > 1:
                free[name] = lambda rng, pool=pool, counts=counts: _draw_inputs(rng, pool, counts)
        return free

    def first(self) -> Block:
        """The block that takes the first option of every choice."""
        return Block(
            dense_operators=self.dense_operators[:1],
            sparse_operators=self.sparse_operators[:1],
            dense_width=self.dense_widths[0],
            sparse_width=self.sparse_widths[0],
            dense_inputs=self.dense_inputs[: self.dense_input_counts[0]],
            sparse_inputs=self.sparse_inputs[: self.sparse_input_counts[0]],
            left=self.lefts[0] if self.lefts else None,
            right=self.rights[0] if self.rights else None,
            dense_to_sparse=self.dense_to_sparse[0],
            fm=self.fm[0],
        )

    def full(self) -> Block:
        """The supernet's full path: every operator on, every input read, largest widths, mergers on."""
        return replace(
            self.first(),
            dense_operators=self.dense_operators,
            sparse_operators=self.sparse_operators,
            dense_width=max(self.dense_widths),
            sparse_width=max(self.sparse_widths),
            dense_inputs=self.dense_inputs,
            sparse_inputs=self.sparse_inputs,
            left=self.lefts[-1] if self.lefts else None,
            right=self.rights[-1] if self.rights else None,
            dense_to_sparse=True in self.dense_to_sparse,
            fm=True in self.fm,
        )

    def size(self) -> int:
        options = (
            self.dense_operators,
            self.sparse_operators,
            self.dense_widths,
            self.sparse_widths,
            self.lefts,
            self.rights,
            self.dense_to_sparse,
            self.fm,
        )
        return (
            math.prod(max(1, len(values)) for values in options)
            * _subsets(self.dense_inputs, self.dense_input_counts)
            * _subsets(self.sparse_inputs, self.sparse_input_counts)
        )


@dataclass(frozen=True)
class SearchSpace:
    """All architectures whose blocks agree with their `BlockChoices`, and whose cross network has one of these depths.

    Attributes:
        name: As users call it.
        blocks: What each block may be.
        cross_layers: Depths of the cross network beside the blocks; 0 for none.

    Example:
        >>> space = SearchSpace.named("nasrec-small")
        >>> arch = space.sample(random.Random(0))
        >>> space.mutate(arch, random.Random(1)) in space
        True
    """

    name: str
    blocks: tuple[BlockChoices, ...]
    cross_layers: tuple[int, ...] = (0,)

    @classmethod
    def named(cls, name: str) -> SearchSpace:
        """NASRec-Small or NASRec-Full (Zhang et al. 2023, section 3), or NASRec-Cross: the blocks of NASRec-Small
        beside a cross network of one to six layers (Wang et al. 2021).

        Raises:
            InputError: No space has this name.
        """
        if name not in SPACES:
            raise InputError(f"no search space is named {name!r}; known are {', '.join(SPACES)}")
        dense_operators, sparse_operators, cross_layers = SPACES[name]
        blocks = []
        for index in range(1, NUM_BLOCKS + 1):
            earlier, counts = tuple(range(index)), range(1, min(index, MAX_INPUTS) + 1)
            operands = earlier if GATING in dense_operators else ()
            blocks.append(
                BlockChoices(
                    dense_operators=dense_operators,
                    sparse_operators=sparse_operators,
                    dense_widths=DENSE_WIDTHS,
                    sparse_widths=SPARSE_WIDTHS,
                    dense_inputs=earlier,
                    dense_input_counts=counts,
                    sparse_inputs=earlier,
                    sparse_input_counts=counts,
                    lefts=operands,
                    rights=operands,
                    dense_to_sparse=(False, True),
                    fm=(False, True),
                )
            )
        return cls(name, tuple(blocks), cross_layers)

    @classmethod
    def only(cls, arch: Architecture) -> SearchSpace:
        """The space that holds one architecture; its supernet is that architecture's finished network.

        Raises:
            InputError: A block has several operators of a kind, as the full path has; a candidate has one.
        """
        if any(len(names) > 1 for block in arch.blocks for names in (block.dense_operators, block.sparse_operators)):
            raise InputError("the architecture has blocks with several operators of a kind; a candidate has one")
        return cls(
            "one architecture",
            tuple(
                BlockChoices(
                    dense_operators=block.dense_operators,
                    sparse_operators=block.sparse_operators,
                    dense_widths=(block.dense_width,),
                    sparse_widths=(block.sparse_width,),
                    dense_inputs=block.dense_inputs,
                    dense_input_counts=range(len(block.dense_inputs), len(block.dense_inputs) + 1),
                    sparse_inputs=block.sparse_inputs,
                    sparse_input_counts=range(len(block.sparse_inputs), len(block.sparse_inputs) + 1),
                    lefts=() if block.left is None else (block.left,),
                    rights=() if block.right is None else (block.right,),
                    dense_to_sparse=(block.dense_to_sparse,),
                    fm=(block.fm,),
                )
                for block in arch.blocks
            ),
            (arch.cross_layers,),
        )

    def sample(self, rng: random.Random) -> Architecture:
        """Draws an architecture: one operator of each kind, 1 + Binomial(n-1, ½) inputs, all else uniform."""
        blocks = []
        for choices in self.blocks:
            values = {name: draw(rng) for name, draw in choices.draws().items()}
            blocks.append(replace(choices.first(), **values))
        return Architecture(tuple(blocks), self._draw_cross_layers(rng))

    def _draw_cross_layers(self, rng: random.Random) -> int:
        # Where there is no choice, none is drawn.
        return rng.choice(self.cross_layers) if len(self.cross_layers) > 1 else self.cross_layers[0]

    def smallest(self, cost: Callable[[Architecture], float]) -> Architecture:
        """The architecture that costs least: the smallest widths, one input each, and the cheapest last operators.

        Only the last block is alive, and reads the stem. Whatever else an architecture has costs more, as all of it
        reads the stem in the end, through layers no narrower than these.

        Args:
            cost: FLOPs or parameters of an architecture.
        """
        *others, last = (choices.first() for choices in self.blocks)
        options = [
            replace(last, dense_operators=dense, sparse_operators=sparse)
            for dense in _one_each(self.blocks[-1].dense_operators)
            for sparse in _one_each(self.blocks[-1].sparse_operators)
        ]
        depth = min(self.cross_layers)
        return min((Architecture((*others, option), depth) for option in options), key=cost)

    def full_path(self) -> Architecture:
        """Every operator of every block at its largest widths, reading every earlier output."""
        return Architecture(tuple(choices.full() for choices in self.blocks), max(self.cross_layers))

    def mutate(self, arch: Architecture, rng: random.Random, count: int = 1) -> Architecture:
        """Draws `count` times a block and one of its choices, and that choice anew (it may come out as it was).

        A cross network whose depth is a choice counts as one more block.
        """
        blocks, cross_layers = list(arch.blocks), arch.cross_layers
        for _ in range(count):
            index = rng.randrange(len(blocks) + (len(self.cross_layers) > 1))
            if index == len(blocks):
                cross_layers = self._draw_cross_layers(rng)
                continue
            draws = self.blocks[index].draws()
            name = rng.choice(list(draws))
            blocks[index] = replace(blocks[index], **{name: draws[name](rng)})
        return Architecture(tuple(blocks), cross_layers)

    def sample_within(
        self, rng: random.Random, affordable: Callable[[Architecture], bool], smallest: Architecture
    ) -> Architecture:
        """Draws an architecture that can be afforded: again and again, and where limits are tight pulled within them.

        Args:
            rng: The source of every choice.
            affordable: Whether an architecture is within the limits.
            smallest: One that is.
        """
        for _ in range(PATIENCE):
            if affordable(arch := self.sample(rng)):
                return arch
        return self.pull(arch, smallest, affordable, rng)

    def pull(
        self,
        arch: Architecture,
        towards: Architecture,
        affordable: Callable[[Architecture], bool],
        rng: random.Random,
    ) -> Architecture:
        """Exchanges choices of an architecture for those of an affordable one, no more of them than it takes.

        Args:
            arch: What cannot be afforded.
            towards: What can.
            affordable: Whether an architecture is within the limits.
            rng: The order in which choices are exchanged.
        """
        places = [
            (index, field.name)
            for index, (ours, theirs) in enumerate(zip(arch.blocks, towards.blocks, strict=True))
            for field in fields(Block)
            if getattr(ours, field.name) != getattr(theirs, field.name)
        ]
        if arch.cross_layers != towards.cross_layers:
            places.append((len(arch.blocks), "cross_layers"))
        rng.shuffle(places)

        def exchanged(count: int) -> Architecture:
            blocks, cross_layers = list(arch.blocks), arch.cross_layers
            for index, name in places[:count]:
                if index == len(blocks):
                    cross_layers = towards.cross_layers
                    continue
                blocks[index] = replace(blocks[index], **{name: getattr(towards.blocks[index], name)})
            return Architecture(tuple(blocks), cross_layers)

        # All of them give the affordable one; halving finds one of the points at which fewer do not.
        too_few, enough = 0, len(places)
        while enough - too_few > 1:
            middle = (too_few + enough) // 2
            if affordable(exchanged(middle)):
                enough = middle
            else:
                too_few = middle
        return exchanged(enough)

    def size(self) -> int:
        """The number of combinations of all choices. Many are the same network: see `Architecture.canonical`."""
        return math.prod(choices.size() for choices in self.blocks) * len(self.cross_layers)

    def __contains__(self, arch: object) -> bool:
        return (
            isinstance(arch, Architecture)
            and arch.cross_layers in self.cross_layers
            and len(arch.blocks) == len(self.blocks)
            and all(_allows(choices, block) for choices, block in zip(self.blocks, arch.blocks, strict=True))
        )


SPACES: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[int, ...]]] = {
    "nasrec-small": ((FC, DOT_PRODUCT), (EFC,), (0,)),
    "nasrec-full": ((FC, DOT_PRODUCT, GATING, SUM), (EFC, ATTENTION), (0,)),
    "nasrec-cross": ((FC, DOT_PRODUCT), (EFC,), (1, 2, 3, 4, 5, 6)),
}
"""Dense operators, sparse operators, and depths of the cross network."""


def _one_each(operators: tuple[str, ...]) -> list[tuple[str, ...]]:
    return [(name,) for name in operators] or [()]


def _subsets(pool: Sequence[int], counts: range) -> int:
    return sum(math.comb(len(pool), count) for count in counts)


def _draw_inputs(rng: random.Random, pool: tuple[int, ...], counts: range) -> tuple[int, ...]:
    count = counts[0] + sum(rng.random() < 0.5 for _ in range(len(counts) - 1))
    return tuple(sorted(rng.sample(pool, count)))


def _allows(choices: BlockChoices, block: Block) -> bool:
    return (
        all(
            len(chosen) == min(1, len(options)) and set(chosen) <= set(options)
            for chosen, options in (
                (block.dense_operators, choices.dense_operators),
                (block.sparse_operators, choices.sparse_operators),
            )
        )
        and all(
            value in options
            for value, options in (
                (block.dense_width, choices.dense_widths),
                (block.sparse_width, choices.sparse_widths),
                (block.left, choices.lefts or (None,)),
                (block.right, choices.rights or (None,)),
                (block.dense_to_sparse, choices.dense_to_sparse),
                (block.fm, choices.fm),
            )
        )
        and all(
            set(inputs) <= set(pool) and len(inputs) in counts
            for inputs, pool, counts in (
                (block.dense_inputs, choices.dense_inputs, choices.dense_input_counts),
                (block.sparse_inputs, choices.sparse_inputs, choices.sparse_input_counts),
            )
        )
    )
