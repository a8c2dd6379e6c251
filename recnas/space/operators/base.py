"""What an operator is, without torch: what it reads, what it costs, how it is told and written out.

The module that computes it is named by `Operator.module`; see `recnas.nn.operators`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol

from recnas.util.errors import InputError

DENSE, SPARSE = "dense", "sparse"
"""What an operator gives: columns `[B, width]`, or fields `[B, E, width]`."""
DENSE_INPUTS, SPARSE_INPUTS, OPERANDS = "dense inputs", "sparse inputs", "operands"
"""What an operator may read: some earlier dense outputs, some earlier sparse ones, or a left and a right dense one."""


@dataclass(frozen=True)
class Layer:
    """Weights of one layer, and the multiply–accumulates of a row through them."""

    parameters: int
    macs: int


def linear(inputs: int, outputs: int, repeats: int = 1, bias: bool = False) -> Layer:
    """A linear layer that each row goes through `repeats` times."""
    return Layer(inputs * outputs + (outputs if bias else 0), inputs * outputs * repeats)


def norm(width: int) -> Layer:
    """A layer norm."""
    return Layer(2 * width, 0)


@dataclass(frozen=True)
class Sizes:
    """The widths that one operator of a candidate meets.

    Attributes:
        columns: Of the dense inputs together.
        fields: Of the sparse inputs together.
        left: Columns of the left operand; 0 where there is none.
        right: Of the right one.
        width: Columns or fields of the output.
        dim: E.
    """

    columns: int
    fields: int
    left: int
    right: int
    width: int
    dim: int


class Value(Protocol):
    """A tensor of written code: its variable, its last axis's width, and the source that weights are named by."""

    @property
    def name(self) -> str: ...

    @property
    def width(self) -> int: ...

    @property
    def source(self) -> str: ...


class OperatorCode(Protocol):
    """What an operator writes itself out with; see `recnas.export.network_code`.

    Attributes:
        name: Of the operator's layers in the written module.
        result: The variable that the output goes to.
        width: Columns or fields of the output.
        dim: E.
        dense: The dense inputs.
        sparse: The sparse inputs.
        left: The left operand, where there are operands.
        right: The right one.
    """

    name: str
    result: str
    width: int
    dim: int
    dense: list[Value]
    sparse: list[Value]
    left: Value
    right: Value

    def value(self, name: str, width: int, source: str) -> Value:
        """A tensor of the written code."""

    def padded(self, value: Value, width: int) -> str:
        """The operand as an expression, zero-padded to a width."""

    def use(self, *names: str) -> None:
        """Helpers, of `Operator.helpers` or usual ones, that the code calls."""

    def layer(self, name: str, made: str) -> None:
        """A line of `__init__`: a layer of that name."""

    def step(self, line: str) -> None:
        """A line of `forward`."""

    def set(self, result: str, function: str, inputs: list[Value]) -> None:
        """A call in `forward`: `result = function(inputs)`."""

    def take(self, name: str, own: str, rows: slice | None = None) -> None:
        """Which weight of the operator's module is the written weight `name`; some rows of it."""

    def take_norm(self, name: str, own: str) -> None:
        """The same for a layer norm's weight and bias."""

    def projected(
        self,
        result: str,
        name: str,
        inputs: list[Value],
        width: int,
        linear: str = "linear",
        norm: str = "norm",
        *,
        bias: bool = False,
        kind: str = "LinearNorm",
    ) -> None:
        """A linear layer over all inputs and a layer norm: the operator's own of these names."""

    def mapped(self, value: Value, bias: bool = False) -> None:
        """What an operator ends with: a linear layer unless the width is right already, and a layer norm."""


class Operator(ABC):
    """One kind of layer that a block may have, as a value without weights.

    Attributes:
        name: In `architecture.json`; `operator` gives it to one of a user's own.
        side: What it gives, `DENSE` or `SPARSE`.
        reads: Some of `DENSE_INPUTS`, `SPARSE_INPUTS` and `OPERANDS`.
        symmetric: With operands, whether left and right may change places.
        optional: Whether it can do with some of the inputs that it reads; without any it gives nothing.
        sets_width: Whether the width of its output follows from its inputs (`output_width`), so that none is chosen.
        title: What it is called in print.
        explanation: What it does, in a line.
        module: The class that computes it, `module:class`; see `recnas.nn.operators`.
        helpers: Classes and functions that its written code calls, by name: their source, as it stands at the top level
            of a module that has imported torch, `Tensor`, `nn`, `F` and `Sequence`.
    """

    name: ClassVar[str]
    side: ClassVar[str]
    reads: ClassVar[frozenset[str]]
    symmetric: ClassVar[bool] = True
    optional: ClassVar[bool] = False
    sets_width: ClassVar[bool] = False
    title: ClassVar[str]
    explanation: ClassVar[str]
    module: ClassVar[str]
    helpers: ClassVar[Mapping[str, str]] = {}

    @abstractmethod
    def layers(self, sizes: Sizes) -> Iterator[Layer]:
        """What it computes with, for its cost."""

    def output_width(self, sizes: Sizes) -> int:
        """Columns or fields of its output: what is chosen, unless it `sets_width`; no fewer for more inputs."""
        return sizes.width

    def write(self, code: OperatorCode) -> None:
        """Writes it out as PyTorch.

        Raises:
            InputError: It is one of a user's own, for which nobody has said how.
        """
        raise _not_written(self)


class BranchCode(Protocol):
    """What a branch writes itself out with; see `OperatorCode`.

    Attributes:
        name: Of the branch's layer in the written module.
        result: The variable that the output goes to.
        stem: The stem's columns side by side, as an expression.
        dense: The dense features `[B, d₀]`, as an expression.
        fields: The embedded fields `[B, n₀, E]`, as an expression.
        columns: How many they are.
        depth: Layers.
    """

    name: str
    result: str
    stem: str
    dense: str
    fields: str
    columns: int
    depth: int

    def use(self, *names: str) -> None: ...

    def layer(self, name: str, made: str) -> None: ...

    def step(self, line: str) -> None: ...

    def take(self, name: str, own: str, rows: slice | None = None) -> None: ...

    def take_norm(self, name: str, own: str) -> None: ...


class Branch(ABC):
    """A network over the stem's columns beside the blocks, whose output the logit reads too.

    It gives as many columns as the stem has: x₀ = concat(D₀, flatten S₀).

    Attributes:
        name: In `architecture.json`, with `_layers` after it; `branch` gives it to one of a user's own.
        title: What it is called in print.
        explanation: What it does, in a line.
        module: The class that computes it, `module:class`; see `recnas.nn.operators`.
        helpers: As an operator's.
        leads: Whether training begins with the branch alone, blocks with no say in the logit.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    explanation: ClassVar[str]
    module: ClassVar[str]
    helpers: ClassVar[Mapping[str, str]] = {}
    leads: ClassVar[bool] = False

    @abstractmethod
    def layers(self, columns: int, depth: int) -> Iterator[Layer]:
        """What it computes with, for its cost."""

    def write(self, code: BranchCode) -> None:
        """Writes it out as PyTorch; see `Operator.write`."""
        raise _not_written(self)


def _not_written(kind: Operator | Branch) -> InputError:
    return InputError(
        f"--format torchrec: {kind.name} has no method `write`, which gives its code; leave it out, or add the method"
    )
