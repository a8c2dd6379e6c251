"""Architectures as values: what a candidate network is, before any tensor exists.

An `Architecture` is a chain of choice blocks over a stem (NASRec, Zhang et al. 2023). Output 0 is
the stem: the raw dense features D₀ and the embedded fields S₀. Block i (1-based) reads outputs 0 … i-1 and gives Dᵢ and
Sᵢ. The logit reads the last block's outputs. Everything that can be known without weights is a function of this value.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from recnas.space.operators import (
    BRANCHES,
    DENSE,
    DENSE_INPUTS,
    OPERANDS,
    OPERATORS,
    SPARSE,
    SPARSE_INPUTS,
    read_by,
)
from recnas.util.documents import shortened
from recnas.util.errors import InputError
from recnas.util.files import read_json
from recnas.util.user_code import NotImportedError, is_user_code

MERGED_FIELDS = 8
"""Fields that the dense→sparse merger appends to a block's sparse output."""

FORMAT_VERSION = 1
MOST_BYTES = 2**20
"""Of an `architecture.json`."""
MOST_BLOCKS, MOST_WIDTH, MOST_LAYERS = 100, 2**20, 100
"""Above every network that anybody would train: a file that claims more is refused before anything is made of it."""

_NASREC_SMALL_NODES = ("fc", "dot-product", "efc")
_NASREC_FULL_NODES = ("fc", "dot-product", "gating", "sum", "attention", "efc")


@dataclass(frozen=True)
class Block:
    """One choice block.

    Attributes:
        dense_operators: Operators whose outputs are added to give the dense output. A candidate has one, the supernet's
            full path all of them, a dropped dead part none.
        sparse_operators: The same for the sparse output.
        dense_width: Columns of the dense output; 0 when nothing makes one.
        sparse_width: Fields of the sparse operators' output, the merger's fields not counted; 0 when nothing makes one.
        dense_inputs: Earlier outputs whose dense part is read by the operators that read dense inputs, ascending.
        sparse_inputs: Earlier outputs whose sparse part is read by those that read sparse inputs, ascending.
        left: Earlier output whose dense part is the left operand of the operators with two: what Gating takes the gate
            from, the first term of Sum.
        right: The right operand: what is gated, the second term of Sum.
        dense_to_sparse: Whether the dense operators' output is also appended to the sparse output, as eight fields.
        fm: Whether a factorisation machine over the sparse operators' fields is added to the dense output.
    """

    dense_operators: tuple[str, ...]
    sparse_operators: tuple[str, ...]
    dense_width: int
    sparse_width: int
    dense_inputs: tuple[int, ...] = ()
    sparse_inputs: tuple[int, ...] = ()
    left: int | None = None
    right: int | None = None
    dense_to_sparse: bool = False
    fm: bool = False

    @property
    def operators(self) -> tuple[str, ...]:
        """All operators."""
        return self.dense_operators + self.sparse_operators

    @property
    def reads_dense_inputs(self) -> bool:
        return DENSE_INPUTS in read_by(self.operators)

    @property
    def reads_operands(self) -> bool:
        return OPERANDS in read_by(self.operators)

    @property
    def reads_sparse_inputs(self) -> bool:
        return SPARSE_INPUTS in read_by(self.operators)

    def to_json(self) -> dict[str, Any]:
        return {field.name: _plain(getattr(self, field.name)) for field in fields(self)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Block:
        """Reads what `to_json` wrote.

        Raises:
            InputError: A key is missing or unknown, or a value has the wrong type.
        """
        if not isinstance(data, Mapping):
            raise InputError(f"architecture: a block is an object, not {type(data).__name__}")
        names = [field.name for field in fields(cls)]
        if unknown := sorted(set(data) - set(names)):
            raise InputError(f"architecture: unknown key {unknown[0]!r} in a block; known keys are {', '.join(names)}")
        if missing := [name for name in names if name not in data]:
            raise InputError(f"architecture: a block has no {missing[0]!r}")
        for name, kinds in _JSON_TYPES.items():
            if not _is_a(data[name], kinds):
                raise InputError(f"architecture: {name} is {shortened(data[name])} where {kinds} is expected")
        return cls(**{name: tuple(value) if isinstance(value := data[name], list) else value for name in names})


_LAYERS = "_layers"
_JSON_TYPES = {
    "dense_operators": "a list of strings",
    "sparse_operators": "a list of strings",
    "dense_width": "an integer",
    "sparse_width": "an integer",
    "dense_inputs": "a list of integers",
    "sparse_inputs": "a list of integers",
    "left": "an integer or null",
    "right": "an integer or null",
    "dense_to_sparse": "true or false",
    "fm": "true or false",
}


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

    Raises:
        InputError: A block reads an output that does not come before it, an operator is unknown, or a width is missing.

    Example:
        >>> block = Block(("fc",), ("efc",), 64, 16, dense_inputs=(0,), sparse_inputs=(0,), fm=True)
        >>> Architecture((block,)).live()[0].fm
        True
    """

    blocks: tuple[Block, ...]
    branches: tuple[tuple[str, int], ...] = ()

    def __post_init__(self) -> None:
        if not 0 < len(self.blocks) <= MOST_BLOCKS:
            raise InputError(f"architecture: {len(self.blocks) or 'no'} blocks where 1 to {MOST_BLOCKS} are expected")
        for name, depth in self.branches:
            if name not in BRANCHES:
                if is_user_code(name):
                    raise NotImportedError(name)
                raise InputError(f"architecture: no branch {shortened(name)} is known; known are {', '.join(BRANCHES)}")
            if not _is_a(depth, "an integer") or not 1 <= depth <= MOST_LAYERS:
                raise InputError(
                    f"architecture: {_layers_key(name)} is {shortened(depth)}; 0 to {MOST_LAYERS} are expected"
                )
        if len(dict(self.branches)) < len(self.branches):
            raise InputError(f"architecture: a branch is there twice: {', '.join(name for name, _ in self.branches)}")
        for index, block in enumerate(self.blocks, start=1):
            _check(index, block)
        if not self.blocks[-1].dense_operators and not self.blocks[-1].sparse_operators:
            raise InputError("architecture: the last block has no operator, so nothing reaches the logit")
        for index, (block, live) in enumerate(zip(self.blocks, self.live(), strict=True), start=1):
            if (live.dense_operators and not block.dense_operators) or (
                live.sparse_operators and not block.sparse_operators
            ):
                raise InputError(f"architecture: block {index} has no operator for an output that is read")

    def live(self) -> tuple[Live, ...]:
        """The parts of each block that reach the logit, found from the last block backwards."""
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
        branches. Two candidates with equal canonical forms are the same candidate.
        """
        blocks = tuple(_drop_dead(block, live) for block, live in zip(self.blocks, self.live(), strict=True))
        return replace(self, blocks=blocks, branches=tuple(sorted(self.branches)))

    @property
    def id(self) -> str:
        """Twelve hexadecimal digits that name the canonical form."""
        text = json.dumps(self.canonical().to_json(), separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def to_json(self) -> dict[str, Any]:
        plain = {"version": FORMAT_VERSION, "blocks": [block.to_json() for block in self.blocks]}
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
        return cls(tuple(Block.from_json(block) for block in data["blocks"]), branches)

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


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _is_a(value: Any, kinds: str) -> bool:
    integer = isinstance(value, int) and not isinstance(value, bool)
    match kinds:
        case "an integer":
            return integer
        case "an integer or null":
            return integer or value is None
        case "true or false":
            return isinstance(value, bool)
        case "a list of strings":
            return isinstance(value, list) and all(isinstance(item, str) for item in value)
        case _:
            return isinstance(value, list) and all(_is_a(item, "an integer") for item in value)


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
        ("dense_inputs", block.dense_inputs, block.reads_dense_inputs),
        ("sparse_inputs", block.sparse_inputs, block.reads_sparse_inputs),
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
        dense_operators=tuple(sorted(block.dense_operators)),
        sparse_operators=tuple(sorted(block.sparse_operators)),
        dense_inputs=block.dense_inputs if block.reads_dense_inputs else (),
        sparse_inputs=block.sparse_inputs if block.reads_sparse_inputs else (),
        left=left,
        right=right,
        dense_to_sparse=live.dense_to_sparse,
        fm=live.fm,
    )
