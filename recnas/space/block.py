"""One choice block of an architecture, as a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from recnas.space.operators import DENSE_INPUTS, OPERANDS, OPERATORS, SPARSE_INPUTS, read_by
from recnas.util.documents import shortened
from recnas.util.errors import InputError


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
    def sets_width(self) -> bool:
        """Whether the width of the dense output follows from what is read, whatever is chosen."""
        return any(OPERATORS[name].sets_width for name in self.dense_operators)

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
            if not is_a(data[name], kinds):
                raise InputError(f"architecture: {name} is {shortened(data[name])} where {kinds} is expected")
        return cls(**{name: tuple(value) if isinstance(value := data[name], list) else value for name in names})


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


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def is_a(value: Any, kinds: str) -> bool:
    """Whether a value of JSON is of a kind: `an integer`, `true or false`, `a list of strings` …"""
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
            return isinstance(value, list) and all(is_a(item, "an integer") for item in value)
