"""Search spaces: which architectures may be built, and how they are drawn, changed and counted."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import partial
from itertools import product
from typing import Any, ClassVar

from recnas.space.architecture import LAST, UNREAD, Architecture
from recnas.space.block import Block
from recnas.space.choices import NOTHING, BlockChoices, Choice, OneOf, OneOperator, Subset
from recnas.space.operators import OPERANDS, OPERATORS, read_by
from recnas.space.unread import Sources
from recnas.util.errors import InputError
from recnas.util.user_code import import_user_code, is_user_code

DENSE_WIDTHS = (16, 32, 64, 128, 256, 512, 768, 1024)
SPARSE_WIDTHS = (16, 32, 48, 64)
NUM_BLOCKS = 7
MAX_INPUTS = 4
PATIENCE = 50
"""Candidates refused one after another before those that follow are pulled within limits."""

Place = tuple[int | str, str]
"""Where a choice stands: the place of its block and its attribute, or "branches" and the branch's name."""
BRANCHES = "branches"


@dataclass(frozen=True)
class SearchSpace:
    """All architectures whose blocks and branches agree with a table of choices.

    Attributes:
        name: As users call it.
        blocks: What each block may be.
        branches: What the number of layers of each branch beside the blocks may be, by its name.
        logit: What the logit reads of the blocks of each; see `Architecture`.
        has_table: Whether there is a table of choices, each of which may be made by itself.

    Example:
        >>> space = SearchSpace.named("nasrec-small")
        >>> arch = space.sample(random.Random(0))
        >>> space.mutate(arch, random.Random(1)) in space
        True
    """

    has_table: ClassVar[bool] = True

    name: str
    blocks: tuple[BlockChoices, ...]
    branches: Mapping[str, OneOf] = field(default_factory=dict)
    logit: str = LAST

    @classmethod
    def named(cls, name: str) -> SearchSpace:
        """NASRec-Small or NASRec-Full (Zhang et al. 2023, section 3); NASRec-Cross, the blocks of NASRec-Small
        beside a cross network of one to six layers (Wang et al. 2021); NASRec-Wide, with layers of other families; or
        AutoCTR (Song et al. 2020, section 3.1), seven blocks of an MLP's layer, inner products or a factorisation
        machine each. `hierarchical` has the networks of a grammar (`recnas.space.grammar_space`).

        As published are AutoCTR's operators, what a block may read and how it is drawn, the numbers of units, and what
        the logit reads; inner products are all of them and each vector's with itself, where the published code takes
        as many numbers from the first rows of their matrix. Start values and training are those of all spaces here.

        A space of a user's own is `module:name`: a `SearchSpace`, or a function that returns one. Its module is
        imported, so the name must be one that the user gave.

        Raises:
            InputError: No space has this name.
        """
        check_space_name(name)
        if name in SPACES:
            return SPACES[name]()
        space = made = import_user_code(name, "search space")
        if callable(made):
            try:
                space = made()
            except Exception as error:  # The function is the user's: what goes wrong in it is anything.
                raise InputError(f"search space {name}: failed ({type(error).__name__}: {error})") from error
        if not isinstance(space, cls):
            raise InputError(f"search space {name}: is a {type(space).__name__}, where a SearchSpace is expected")
        return space

    @classmethod
    def of_operators(
        cls,
        name: str,
        dense: tuple[str, ...],
        sparse: tuple[str, ...],
        branches: Mapping[str, tuple[int, ...]] | None = None,
        absent: float | None = None,
    ) -> SearchSpace:
        """NASRec's seven blocks with other operators, and branches beside them.

        Args:
            name: As users call it.
            dense: Dense operators.
            sparse: Sparse operators.
            branches: For each branch how many layers it may have.
            absent: How often a draw is without a branch, whose numbers of layers begin with 0; None: as often as with
                each number.
        """
        blocks = []
        for index in range(1, NUM_BLOCKS + 1):
            earlier = tuple(range(index))
            inputs = Subset(earlier, range(1, min(index, MAX_INPUTS) + 1))
            operand = OneOf(earlier) if OPERANDS in read_by((*dense, *sparse)) else NOTHING
            blocks.append(
                BlockChoices(
                    dense_operators=OneOperator(dense),
                    sparse_operators=OneOperator(sparse),
                    dense_width=OneOf(DENSE_WIDTHS, ordered=True),
                    sparse_width=OneOf(SPARSE_WIDTHS, ordered=True),
                    dense_inputs=inputs,
                    sparse_inputs=inputs,
                    left=operand,
                    right=operand,
                    dense_to_sparse=OneOf((False, True), ordered=True),
                    fm=OneOf((False, True), ordered=True),
                )
            )
        depths = {branch: OneOf(layers, ordered=True, share=absent) for branch, layers in (branches or {}).items()}
        return cls(name, tuple(blocks), depths)

    @classmethod
    def of_unread(cls, name: str, dense: tuple[str, ...], widths: tuple[int, ...], blocks: int) -> SearchSpace:
        """Blocks of one dense operator each in a graph without cycles, whose unread outputs go to the logit.

        A block may read the raw dense features, the raw fields and the output of each earlier block, or not: each is
        drawn with a chance of one half. One that reads nothing is left out, with what would read it.

        Args:
            name: As users call it.
            dense: Dense operators that can do without some of their inputs.
            widths: Columns of those whose width is chosen.
            blocks: How many.
        """
        return cls(
            name,
            tuple(
                BlockChoices(
                    dense_operators=OneOperator(dense),
                    sparse_operators=OneOperator(()),
                    dense_width=OneOf(widths, ordered=True),
                    sparse_width=OneOf((0,)),
                    dense_inputs=Subset(tuple(range(index)), range(index + 1)),
                    sparse_inputs=Subset((0,), range(2)),
                    dense_to_sparse=OneOf((False,)),
                    fm=OneOf((False,)),
                )
                for index in range(1, blocks + 1)
            ),
            logit=UNREAD,
        )

    @classmethod
    def only(cls, arch: Architecture) -> SearchSpace:
        """The space that holds one architecture; its supernet is that architecture's finished network.

        Raises:
            InputError: A block has several operators of a kind, as the full path has; a candidate has one.
        """
        if any(len(names) > 1 for block in arch.blocks for names in (block.dense_operators, block.sparse_operators)):
            raise InputError("the architecture has blocks with several operators of a kind; a candidate has one")

        def subset(inputs: tuple[int, ...]) -> Subset:
            return Subset(inputs, range(len(inputs), len(inputs) + 1))

        return cls(
            "one architecture",
            tuple(
                BlockChoices(
                    dense_operators=OneOperator(block.dense_operators),
                    sparse_operators=OneOperator(block.sparse_operators),
                    dense_width=OneOf((block.dense_width,)),
                    sparse_width=OneOf((block.sparse_width,)),
                    dense_inputs=subset(block.dense_inputs),
                    sparse_inputs=subset(block.sparse_inputs),
                    left=OneOf((block.left,)),
                    right=OneOf((block.right,)),
                    dense_to_sparse=OneOf((block.dense_to_sparse,)),
                    fm=OneOf((block.fm,)),
                )
                for block in arch.blocks
            ),
            {name: OneOf((depth,)) for name, depth in arch.branches},
            arch.logit,
        )

    def table(self) -> dict[Place, Choice]:
        """Every choice by its place: `(2, "fm")` of the third block, `("branches", "cross")` of a branch."""
        of_blocks = {(index, name): choice for index, block in enumerate(self.blocks) for name, choice in block.items()}
        return of_blocks | {(BRANCHES, name): choice for name, choice in self.branches.items()}

    def first(self) -> Architecture:
        """The architecture that takes the first option of every choice."""
        depths = {name: depth.first for name, depth in self.branches.items()}
        return self._made(tuple(choices.first() for choices in self.blocks), depths)

    def sample(self, rng: random.Random) -> Architecture:
        """Draws an architecture: one operator of each kind, 1 + Binomial(n-1, ½) inputs, all else uniform."""
        blocks = []
        for choices in self.blocks:
            values = {name: choice.draw(rng) for name, choice in choices.free().items()}
            blocks.append(replace(choices.first(), **values))
        # Where there is no choice, none is drawn.
        depths = {name: depth.draw(rng) if depth.free else depth.first for name, depth in self.branches.items()}
        return self._made(tuple(blocks), depths)

    def smallest(self, cost: Callable[[Architecture], float]) -> Architecture:
        """The architecture that costs least: the smallest widths, the fewest inputs, and the cheapest last operators.

        Where the logit reads the last block, only that is alive, and reads the stem. Whatever else an architecture has
        costs more, as all of it reads the stem in the end, through layers no narrower than these. Where it reads what
        is unread, blocks may be cheaper than to read the stem itself: the last two are tried with all that they may be.

        Args:
            cost: Multiply–accumulates or parameters of an architecture.
        """
        tried = 2 if self.logit == UNREAD else 1
        others = tuple(choices.first() for choices in self.blocks[:-tried])
        read = {0, len(self.blocks) - 1} if self.logit == UNREAD else None
        options = product(*(choices.smallest(read) for choices in self.blocks[-tried:]))
        depths = {name: min(depth.values) for name, depth in self.branches.items()}
        return min((self._made((*others, *option), depths) for option in options), key=cost)

    def full_path(self) -> Architecture:
        """Every operator of every block at its largest widths, reading every earlier output.

        Raises:
            InputError: Operators of a block give outputs of widths of their own, which cannot be added.
        """
        for choices in self.blocks:
            if len(names := choices.dense_operators.names) > 1 and any(OPERATORS[name].sets_width for name in names):
                raise InputError(f"{self.name} has no full path, as outputs of {', '.join(names)} cannot be added")
        depths = {name: max(depth.values) for name, depth in self.branches.items()}
        return self._made(tuple(choices.full() for choices in self.blocks), depths)

    def mutate(self, arch: Architecture, rng: random.Random, count: int = 1) -> Architecture:
        """Draws `count` times a block and one of its choices, and that choice anew (it may come out as it was).

        A branch whose depth is a choice counts as one more block.
        """
        branches = [name for name, depth in self.branches.items() if depth.free]
        changes: dict[Place, Any] = {}
        for _ in range(count):
            index = rng.randrange(len(self.blocks) + len(branches))
            if index < len(self.blocks):
                # A block of a space may leave nothing to choose.
                if free := self.blocks[index].free():
                    name = rng.choice(list(free))
                    changes[index, name] = free[name].draw(rng)
            else:
                name = branches[index - len(self.blocks)]
                changes[BRANCHES, name] = self.branches[name].draw(rng)
        return changed(arch, changes)

    def neighbours(self, arch: Architecture) -> Iterator[Architecture]:
        """Every architecture that differs from one in a single choice."""
        for place, choice in self.table().items():
            now = value_at(arch, place)
            for value in choice.options():
                if value != now:
                    yield changed(arch, {place: value})

    def encode(self, arch: Architecture) -> list[float]:
        """An architecture as numbers from 0 to 1, as many for each of the space: its choices, one after the other."""
        return [
            number
            for place, choice in self.table().items()
            if choice.free
            for number in choice.encode(value_at(arch, place))
        ]

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
        order = {item.name: place for place, item in enumerate(fields(Block))}
        table = sorted(self.table(), key=lambda place: (place[0] == BRANCHES, place[0], order.get(place[1], 0)))
        places = [place for place in table if value_at(arch, place) != value_at(towards, place)]
        rng.shuffle(places)

        def exchanged(count: int) -> Architecture:
            return changed(arch, {place: value_at(towards, place) for place in places[:count]})

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
        return math.prod(choice.size for choice in self.table().values())

    def __contains__(self, arch: object) -> bool:
        return (
            isinstance(arch, Architecture)
            and arch.logit == self.logit
            and len(arch.blocks) == len(self.blocks)
            and all(name in self.branches for name, _ in arch.branches)
            and all(choice.allows(value_at(arch, place)) for place, choice in self.table().items())
        )

    def logit_sources(self) -> Sources:
        """The outputs, 0 of the stem, whose dense part the logit of some candidate reads, and whose sparse part."""
        if self.logit == LAST or self.size() == 1:
            return self.first().logit_inputs()
        dense, sparse = (
            (0, *(index for index, choices in enumerate(self.blocks, start=1) if made(choices)))
            for made in (
                lambda choices: choices.dense_operators.names,
                lambda choices: choices.sparse_operators.names or True in choices.dense_to_sparse.values,
            )
        )
        return dense, sparse

    def _made(self, blocks: tuple[Block, ...], depths: Mapping[str, int]) -> Architecture:
        return Architecture(blocks, _branches(depths), self.logit)


def value_at(arch: Architecture, place: Place) -> Any:
    """What an architecture has chosen at a place of the table; of a branch its layers, 0 for none."""
    where, name = place
    return dict(arch.branches).get(name, 0) if where == BRANCHES else getattr(arch.blocks[where], name)


def changed(arch: Architecture, values: Mapping[Place, Any]) -> Architecture:
    """An architecture with other choices at some places of the table."""
    of_blocks: dict[int, dict[str, Any]] = {}
    depths = dict(arch.branches)
    for (where, name), value in values.items():
        if where == BRANCHES:
            depths[name] = value
        else:
            of_blocks.setdefault(where, {})[name] = value
    blocks = list(arch.blocks)
    for index, choices in of_blocks.items():
        blocks[index] = replace(blocks[index], **choices)
    return replace(arch, blocks=tuple(blocks), branches=_branches(depths))


def _branches(depths: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    return tuple((name, depth) for name, depth in depths.items() if depth)


SPACES: dict[str, Callable[[], SearchSpace]] = {
    "nasrec-small": partial(SearchSpace.of_operators, "nasrec-small", ("fc", "dot-product"), ("efc",)),
    "nasrec-full": partial(
        SearchSpace.of_operators, "nasrec-full", ("fc", "dot-product", "gating", "sum"), ("efc", "attention")
    ),
    "nasrec-cross": partial(
        SearchSpace.of_operators, "nasrec-cross", ("fc", "dot-product"), ("efc",), {"cross": (1, 2, 3, 4, 5, 6)}
    ),
    "nasrec-wide": partial(
        SearchSpace.of_operators,
        "nasrec-wide",
        ("fc", "dot-product", "gating", "sum", "factorized", "mask"),
        ("efc", "attention"),
        {
            "cross": (0, 1, 2, 3, 4, 5, 6),
            "cross-lowrank": (0, 1, 2, 3, 4, 5, 6),
            "cross-mixture": (0, 1, 2, 3, 4, 5, 6),
            "gated-cross": (0, 1, 2, 3, 4, 5, 6),
            # These multiply what they read by itself, so that what is large grows fast.
            "exponential-cross": (0, 1, 2, 3, 4),
            "quadratic": (0, 1, 2, 3, 4),
        },
        absent=0.8,
    ),
    "autoctr": partial(
        SearchSpace.of_unread, "autoctr", ("mlp", "inner-products", "fm"), (32, 64, 128, 256, 512, 1024), NUM_BLOCKS
    ),
}
"""What makes each space, by its name; `recnas.space.grammar_space` has one more."""


def check_space_name(name: str) -> None:
    """Checks beforehand what would be refused by `SearchSpace.named`, and imports nothing.

    Raises:
        InputError: It is none of `SPACES`, nor written as `module:name`.
    """
    if name not in SPACES and not is_user_code(name):
        raise InputError(
            f"no search space is named {name!r}; known are {', '.join(SPACES)}, and module:function for one of your own"
        )
