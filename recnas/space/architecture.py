"""Architectures as values: what a candidate network is, before any tensor exists.

An `Architecture` is a chain of choice blocks over a stem (NASRec, Zhang et al. 2023). Output 0 is
the stem: the raw dense features D₀ and the embedded fields S₀. Block i (1-based) reads outputs 0 … i-1 and gives Dᵢ and
Sᵢ. The logit reads the last block's outputs, or every output that no block reads (AutoCTR, Song et al. 2020).
Everything that can be known without weights is a function of this value.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from recnas.space.block import Block, is_a
from recnas.space.operators import (
    BRANCHES,
    DENSE,
    DENSE_INPUTS,
    OPERATORS,
    SPARSE,
    SPARSE_INPUTS,
    needed_by,
    read_by,
)
from recnas.space.unread import Sources, in_order, unread, what_there_is
from recnas.util.documents import shortened
from recnas.util.errors import InputError
from recnas.util.files import read_json
from recnas.util.user_code import NotImportedError, is_user_code

MERGED_FIELDS = 8
"""Fields that the dense→sparse merger appends to a block's sparse output."""

FORMAT_VERSION = 1
MOST_BYTES = 2**20
"""Of an `architecture.json`."""
MOST_BLOCKS, MOST_WIDTH, MOST_LAYERS, MOST_CHOICES = 100, 2**20, 100, 10_000
"""Above every network that anybody would train: a file that claims more is refused before anything is made of it."""

LAST, UNREAD = "last", "unread"
"""What the logit reads: the last block's outputs, or all outputs that no block reads, the stem's too."""

_NASREC_SMALL_NODES = ("fc", "dot-product", "efc")
_NASREC_FULL_NODES = ("fc", "dot-product", "gating", "sum", "attention", "efc")


_LAYERS = "_layers"


@dataclass(frozen=True)
class Live:
    """Which parts of a block can change the logit. A part that is not live costs and changes nothing."""

    dense_operators: bool
    sparse_operators: bool
    dense_output: bool
    sparse_output: bool
    dense_to_sparse: bool
    fm: bool


@dataclass(frozen=True)
class Architecture:
    """A candidate network: choice blocks in order, followed by one linear layer to the logit.

    Attributes:
        blocks: From the stem on.
        branches: Networks over the stem's columns beside the blocks that the logit reads too, of `BRANCHES`, each with
            its number of layers: `(("cross", 3),)`. None in NASRec.
        logit: What the logit reads of the blocks: `LAST` or `UNREAD`.
        derivation: Of a sentence of a grammar, the alternatives that its rules took (`recnas.space.grammar`), which its
            space changes; no part of the canonical form.

    Raises:
        InputError: A block reads an output that does not come before it, an operator is unknown, or a width is missing.

    Example:
        >>> block = Block(("fc",), ("efc",), 64, 16, dense_inputs=(0,), sparse_inputs=(0,), fm=True)
        >>> Architecture((block,)).live()[0].fm
        True
    """

    blocks: tuple[Block, ...]
    branches: tuple[tuple[str, int], ...] = ()
    logit: str = LAST
    derivation: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.logit not in (LAST, UNREAD):
            raise InputError(f"architecture: logit is {shortened(self.logit)}; {LAST} or {UNREAD} is expected")
        if not 0 < len(self.blocks) <= MOST_BLOCKS:
            raise InputError(f"architecture: {len(self.blocks) or 'no'} blocks where 1 to {MOST_BLOCKS} are expected")
        for name, depth in self.branches:
            if name not in BRANCHES:
                if is_user_code(name):
                    raise NotImportedError(name)
                raise InputError(f"architecture: no branch {shortened(name)} is known; known are {', '.join(BRANCHES)}")
            if not is_a(depth, "an integer") or not 1 <= depth <= MOST_LAYERS:
                raise InputError(
                    f"architecture: {_layers_key(name)} is {shortened(depth)}; 0 to {MOST_LAYERS} are expected"
                )
        if len(dict(self.branches)) < len(self.branches):
            raise InputError(f"architecture: a branch is there twice: {', '.join(name for name, _ in self.branches)}")
        for index, block in enumerate(self.blocks, start=1):
            _check(index, block)
        if self.logit == UNREAD:
            return
        for index, block in enumerate(self.blocks, start=1):
            optional = [name for name in block.operators if OPERATORS[name].optional]
            if optional and not block.dense_inputs and not block.sparse_inputs:
                raise InputError(f"architecture: block {index} gives {optional[0]} nothing to read")
        if not self.blocks[-1].dense_operators and not self.blocks[-1].sparse_operators:
            raise InputError("architecture: the last block has no operator, so nothing reaches the logit")
        for index, (block, live) in enumerate(zip(self.blocks, self.live(), strict=True), start=1):
            if (live.dense_operators and not block.dense_operators) or (
                live.sparse_operators and not block.sparse_operators
            ):
                raise InputError(f"architecture: block {index} has no operator for an output that is read")

    def live(self) -> tuple[Live, ...]:
        """The parts of each block that reach the logit, found from the last block backwards."""
        if self.logit == UNREAD:
            return tuple(_all_live(block) for block in what_there_is(self.blocks))
        count = len(self.blocks)
        dense_read, sparse_read = [False] * count + [True], [False] * count + [True]
        live: list[Live] = []
        for index in range(count, 0, -1):
            block = self.blocks[index - 1]
            fm = block.fm and dense_read[index]
            merger = block.dense_to_sparse and sparse_read[index]
            dense, sparse = dense_read[index] or merger, sparse_read[index] or fm
            live.append(Live(dense, sparse, dense_read[index], sparse_read[index], merger, fm))
            if dense and block.reads_dense_inputs:
                for source in block.dense_inputs:
                    dense_read[source] = True
            if dense and block.reads_operands:
                dense_read[block.left] = dense_read[block.right] = True
            if sparse or (dense and SPARSE_INPUTS in read_by(block.dense_operators)):
                for source in block.sparse_inputs:
                    sparse_read[source] = True
        return tuple(reversed(live))

    def canonical(self) -> Architecture:
        """The same function of the features with every choice that cannot change the logit normalised away.

        Dead operators, mergers and inputs are dropped; operands that may change places are ordered, and so are
        branches, and blocks if the logit reads whatever is unread. Two candidates with equal canonical forms are the
        same candidate.
        """
        if self.logit == UNREAD:
            present = what_there_is(self.blocks)
            dropped = (_drop_dead(block, _all_live(block)) for block in present)
            blocks = in_order(tuple(dropped))
            return replace(self, blocks=blocks, branches=tuple(sorted(self.branches)), derivation=())
        blocks = tuple(_drop_dead(block, live) for block, live in zip(self.blocks, self.live(), strict=True))
        return replace(self, blocks=blocks, branches=tuple(sorted(self.branches)))

    def logit_inputs(self) -> Sources:
        """The outputs, 0 of the stem, whose dense part the logit reads, and those whose sparse part it does."""
        if self.logit == UNREAD:
            return unread(what_there_is(self.blocks))
        return (len(self.blocks),), (len(self.blocks),)

    @property
    def id(self) -> str:
        """Twelve hexadecimal digits that name the canonical form."""
        text = json.dumps(self.canonical().to_json(), separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def to_json(self) -> dict[str, Any]:
        plain = {"version": FORMAT_VERSION, "blocks": [block.to_json() for block in self.blocks]}
        if self.logit != LAST:
            plain["logit"] = self.logit
        if self.derivation:
            plain["derivation"] = list(self.derivation)
        return plain | {_layers_key(name): depth for name, depth in self.branches}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Architecture:
        """Reads what `to_json` wrote.

        Raises:
            InputError: `data` is not an architecture of this format's version.
        """
        if not isinstance(data, Mapping) or not isinstance(data.get("blocks"), list):
            raise InputError("architecture: an object with 'version' and 'blocks' is expected")
        if data.get("version") != FORMAT_VERSION:
            version = shortened(data.get("version"))
            raise InputError(f"architecture: version {version} where {FORMAT_VERSION} is expected")
        depths = {key.removesuffix(_LAYERS): depth for key, depth in data.items() if key.endswith(_LAYERS)}
        # What is no number is refused there.
        branches = tuple((name, depth) for name, depth in depths.items() if depth is False or depth != 0)
        blocks = tuple(Block.from_json(block) for block in data["blocks"])
        derivation = data.get("derivation", [])
        if not is_a(derivation, "a list of integers") or len(derivation) > MOST_CHOICES:
            raise InputError(
                f"architecture: derivation is {shortened(derivation)}; up to {MOST_CHOICES} integers are it"
            )
        return cls(blocks, branches, data.get("logit", LAST), tuple(derivation))

    def save(self, path: Path | str) -> None:
        Path(path).write_text(json.dumps(self.to_json(), indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path | str) -> Architecture:
        """Reads an `architecture.json`.

        Raises:
            InputError: The file is missing, is not JSON, or is not an architecture.
        """
        values = read_json(Path(path), "`recnas export` writes it", most=MOST_BYTES)
        try:
            return cls.from_json(values)
        except NotImportedError as error:
            raise NotImportedError(error.name, f"{path}: ") from None
        except InputError as error:
            raise InputError(f"{path}: {error}") from None

    @classmethod
    def from_nasrec(cls, data: Mapping[str, Any]) -> Architecture:
        """Reads the form in which NASRec (Zhang et al. 2023) publishes its subnets: `micro` and `macro` of each block.

        Raises:
            InputError: A key is missing, or the nodes are neither NASRec-Small's nor NASRec-Full's.
        """
        try:
            micro, macro = data["micro"], data["macro"]
            # Every block has a sparse operator: node 2 of three in Small, 4 or 5 of six in Full.
            small = all(max(choice["active_nodes"]) < len(_NASREC_SMALL_NODES) for choice in micro)
            nodes = _NASREC_SMALL_NODES if small else _NASREC_FULL_NODES
            blocks = []
            for choice, inputs in zip(micro, macro, strict=True):
                operators = [nodes[node] for node in choice["active_nodes"]]
                blocks.append(
                    Block(
                        dense_operators=tuple(name for name in operators if OPERATORS[name].side == DENSE),
                        sparse_operators=tuple(name for name in operators if OPERATORS[name].side == SPARSE),
                        dense_width=choice["dense_in_dims"],
                        sparse_width=choice["sparse_in_dims"],
                        dense_inputs=tuple(sorted(inputs["dense_idx"])),
                        sparse_inputs=tuple(sorted(inputs["sparse_idx"])),
                        left=None if small else inputs["dense_left_idx"][0],
                        right=None if small else inputs["dense_right_idx"][0],
                        dense_to_sparse=bool(choice["dense_sparse_interact"]),
                        fm=bool(choice["deep_fm"]),
                    )
                )
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise InputError(f"not a subnet in NASRec's published form: {type(error).__name__}: {error}") from None
        return cls(tuple(blocks))


def _layers_key(branch: str) -> str:
    """The key of a branch's number of layers: `cross_layers`."""
    return branch + _LAYERS


def _check(index: int, block: Block) -> None:
    def fail(what: str) -> None:
        raise InputError(f"architecture: block {index} {what}")

    for names, side in ((block.dense_operators, DENSE), (block.sparse_operators, SPARSE)):
        known = [name for name, operator in OPERATORS.items() if operator.side == side]
        for name in names:
            if name not in known:
                if is_user_code(name) and name not in OPERATORS:
                    raise NotImportedError(name)
                fail(f"has the operator {shortened(name)}; known are {', '.join(known)}")
        if len(set(names)) < len(names):
            fail(f"has an operator twice: {', '.join(names)}")
    for what, operators, width in (
        ("dense", block.dense_operators, block.dense_width),
        ("sparse", block.sparse_operators, block.sparse_width),
    ):
        if (width < 1) != (not operators) or not 0 <= width <= MOST_WIDTH:
            fail(f"has {what}_width {shortened(width)} with {what} operators {list(operators)}")
    for what, inputs, needed in (
        ("dense_inputs", block.dense_inputs, DENSE_INPUTS in needed_by(block.operators)),
        ("sparse_inputs", block.sparse_inputs, SPARSE_INPUTS in needed_by(block.operators)),
    ):
        if list(inputs) != sorted(set(inputs)):
            fail(f"has {what} {list(inputs)}; distinct inputs in ascending order are expected")
        if any(not 0 <= source < index for source in inputs):
            fail(f"has {what} {list(inputs)}; it can read outputs 0 to {index - 1}")
        if needed and not inputs:
            fail(f"has an operator that reads {what}, but none are given")
    for what, operand in (("left", block.left), ("right", block.right)):
        if operand is None and block.reads_operands:
            fail(f"has an operator that reads {what}, but none is given")
        if operand is not None and not 0 <= operand < index:
            fail(f"has {what} {operand}; it can read outputs 0 to {index - 1}")


def _all_live(block: Block) -> Live:
    """Of a block all of whose outputs reach the logit."""
    dense, sparse = bool(block.dense_operators), bool(block.sparse_operators)
    return Live(dense, sparse, dense, sparse or block.dense_to_sparse, block.dense_to_sparse, block.fm)


def _drop_dead(block: Block, live: Live) -> Block:
    if not live.dense_operators:
        block = replace(block, dense_operators=(), dense_width=0)
    if not live.sparse_operators:
        block = replace(block, sparse_operators=(), sparse_width=0)
    left, right = (block.left, block.right) if block.reads_operands else (None, None)
    if block.reads_operands and all(OPERATORS[name].symmetric for name in block.operators):
        left, right = sorted((left, right))
    return replace(
        block,
        # Where inputs say how wide the output is, what is chosen says nothing.
        dense_width=1 if block.sets_width else block.dense_width,
        dense_operators=tuple(sorted(block.dense_operators)),
        sparse_operators=tuple(sorted(block.sparse_operators)),
        dense_inputs=block.dense_inputs if block.reads_dense_inputs else (),
        sparse_inputs=block.sparse_inputs if block.reads_sparse_inputs else (),
        left=left,
        right=right,
        dense_to_sparse=live.dense_to_sparse,
        fm=live.fm,
    )
