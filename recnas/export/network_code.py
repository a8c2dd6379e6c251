"""An architecture as lines of PyTorch: the layers, the forward pass, and which exported weight is which layer's."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor

from recnas.export.python_text import call
from recnas.nn.network import ChoiceNetwork, merged_name
from recnas.nn.operators import submodule_name
from recnas.space import Architecture, Block
from recnas.space.architecture import LAST, MERGED_FIELDS
from recnas.space.cost import dense_width, sizes_of
from recnas.space.operators import BRANCHES, OPERATORS

USUAL_HELPERS = {
    "FullyConnected": '''\
class FullyConnected(LinearNorm):
    """Linear → LayerNorm → ReLU: over columns of `[B, columns]` (FC), or over fields of `[B, E, fields]` (EFC)."""

    def forward(self, *inputs: Tensor) -> Tensor:
        return F.relu(super().forward(*inputs))
''',
    "joined": '''\
def joined(*inputs: Tensor) -> Tensor:
    """Inputs side by side, along the last axis."""
    return torch.cat(inputs, dim=-1)
''',
    "interactions": '''\
def interactions(fields: Tensor) -> Tensor:
    """Factorisation machine: (Σ s)² - Σ s² over the fields of `[B, E, fields]`: `[B, E]`."""
    return fields.sum(2).square() - fields.square().sum(2)
''',
}
"""Classes and functions that operators may call beside their own helpers, as source."""


@dataclass
class Written:
    """A block, or the last layer, as code.

    Attributes:
        title: A description of it in one line.
        layers: The lines of `__init__`.
        steps: The lines of `forward`.
    """

    title: str
    layers: list[str] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Value:
    """A tensor of the forward pass: its variable, its last axis's width, and the source that weights are named by."""

    name: str
    width: int
    source: str


class NetworkCode:
    """A finished network, written out.

    Args:
        network: The network of one architecture.
        dropout: Whether a share of each block's dense output is left out in training.

    Attributes:
        blocks: The live parts of each choice block, then the branches, then the last layer.
        weights: The weights of the written layers, by their names in the written module.
        helpers: Source of the classes and functions that the code calls, in the order of their definition.
    """

    def __init__(self, network: ChoiceNetwork, dropout: bool = False) -> None:
        arch = network.architecture
        if arch is None:
            raise ValueError(f"{network.space.name} holds many architectures; only a finished network can be written")
        self.dim, self._logit_name = network.dim, network.logit_name
        self.blocks: list[Written] = []
        self.weights: dict[str, Tensor] = {}
        self._used: set[str] = set()
        self._dropout = dropout
        self._own = dict(network.state_dict())
        self._dense = [_Value("dense_0", network.num_dense, "0")]
        self._sparse = [[_Value("fields_0", network.num_sparse, "0")]]
        for number, block in enumerate(arch.blocks, start=1):
            self._block(number, block)
        for name, depth in arch.branches:
            self._branch(name, network.num_dense + network.num_sparse * self.dim, depth)
        self._last(arch)

    @property
    def helpers(self) -> list[str]:
        known = dict(USUAL_HELPERS)
        for kind in (*OPERATORS.values(), *BRANCHES.values()):
            known |= kind.helpers
        # Classes first, then functions, as they stand in a module.
        return sorted(
            (known[name] for name in known if name in self._used), key=lambda text: not text.startswith("class")
        )

    def _block(self, number: int, block: Block) -> None:
        if not block.dense_operators and not block.sparse_operators:
            # Nothing reads it; a place is kept, so that numbers stay.
            self._dense.append(_Value(f"dense_{number}", 0, str(number)))
            self._sparse.append([])
            return
        sizes = sizes_of(
            block,
            [value.width for value in self._dense],
            [sum(value.width for value in values) for values in self._sparse],
            self.dim,
        )
        dense = _Value(f"dense_{number}", dense_width(block, sizes), str(number))
        fields = _Value(f"fields_{number}", block.sparse_width, str(number))
        self._now, self._number = Written(_title(number, block, dense.width)), number
        self.blocks.append(self._now)
        sparse: list[_Value] = []
        for value, operators, width in (
            (dense, block.dense_operators, block.dense_width),
            (fields, block.sparse_operators, block.sparse_width),
        ):
            for place, operator in enumerate(operators):
                OPERATORS[operator].write(
                    _OperatorWriter(self, operator, "more" if place else value.name, block, width)
                )
                if place:
                    self._now.steps.append(f"{value.name} = {value.name} + more")
        if block.sparse_operators:
            sparse.append(fields)
        if block.dense_to_sparse:
            sparse.append(self._merger(dense))
        if block.fm:
            self._factorization_machine(dense, fields.name)
        if self._dropout and block.dense_operators:
            self._now.steps.append(f"{dense.name} = F.dropout({dense.name}, DROPOUT, self.training)")
        self._dense.append(dense)
        self._sparse.append(sparse)

    def _merger(self, dense: _Value) -> _Value:
        """Eight more fields from the dense operators' output."""
        name, columns = f"block_{self._number}_merger", MERGED_FIELDS * self.dim
        merged = _Value(f"merged_{self._number}", MERGED_FIELDS, merged_name(self._number))
        read = dense.name
        if dense.width != columns:
            value = _Value(dense.name, dense.width, "dense")
            self._writer("dense_to_sparse.").projected(merged.name, name, [value], columns)
            read = merged.name
        self._now.steps.append(f"{merged.name} = {read}.unflatten(1, ({MERGED_FIELDS}, {self.dim})).transpose(1, 2)")
        return merged

    def _factorization_machine(self, dense: _Value, fields: str) -> None:
        self._used.add("interactions")
        value = _Value(f"interactions({fields})", self.dim, "fm")
        added = value.name
        if dense.width != self.dim:
            added = "fm"
            self._writer("fm.").projected(added, f"block_{self._number}_fm", [value], dense.width)
        self._now.steps.append(f"{dense.name} = {dense.name} + {added}")

    def _branch(self, name: str, columns: int, depth: int) -> None:
        branch = BRANCHES[name]
        self._now = Written(f"{branch.title} of depth {depth}: {branch.explanation}")
        self.blocks.append(self._now)
        branch.write(_BranchWriter(self, name, columns, depth))

    def _last(self, arch: Architecture) -> None:
        what = "the last block gives" if arch.logit == LAST else "no block reads"
        self._now = Written(f"Last layer: everything that {what} → the logit")
        self.blocks.append(self._now)
        columns_read, fields_read = arch.logit_inputs()
        values = [
            _Value(dense.name, dense.width, self._logit_name("dense", source))
            for source in columns_read
            if (dense := self._dense[source]).width
        ]
        for source in fields_read:
            for value in self._sparse[source]:
                kind = "merged" if value.source == merged_name(source) else "fields"
                name = self._logit_name(kind, source)
                values.append(_Value(f"{value.name}.flatten(1)", value.width * self.dim, name))
        for name, _ in arch.branches:
            source = submodule_name(name)
            values.append(_Value(_variable(name), self._own[f"last.weight.{source}"].numel(), source))
        self._now.layers.append(f"self.last = JoinedLinear({_tuple(value.width for value in values)}, 1, bias=True)")
        leading = {submodule_name(name): BRANCHES[name] for name, _ in arch.branches if BRANCHES[name].leads}
        drowning = [place for place, value in enumerate(values) if leading and value.source not in leading]
        if drowning:
            drowned = "branches" if len(leading) > 1 else next(iter(leading.values())).title.lower()
            self._now.layers.append(f"# New blocks would drown the {drowned}: their say begins at zero.")
            self._now.layers += [f"nn.init.zeros_(self.last.weights[{place}])" for place in drowning]
        for place, value in enumerate(values):
            self.weights[f"last.weights.{place}"] = self._own[f"last.weight.{value.source}"].reshape(1, -1)
        self.weights["last.bias"] = self._own["last.bias"]
        self._now.steps += call("return self.last(", [value.name for value in values], ").squeeze(1)")

    def _writer(self, own: str) -> _Writer:
        """Writes what has the weights of a part of the present block."""
        return _Writer(self, f"blocks.{self._number - 1}.{own}")


class _Writer:
    """Adds lines and weights to what is being written."""

    def __init__(self, code: NetworkCode, own: str) -> None:
        self._code, self._own = code, own

    def use(self, *names: str) -> None:
        self._code._used |= set(names)

    def layer(self, name: str, made: str) -> None:
        self._code._now.layers.append(f"self.{name} = {made}")

    def step(self, line: str) -> None:
        self._code._now.steps.append(line)

    def set(self, result: str, function: str, inputs: Sequence[_Value]) -> None:
        self._code._now.steps += call(f"{result} = {function}(", [value.name for value in inputs], ")")

    def take(self, name: str, own: str, rows: slice | None = None) -> None:
        weight = self._code._own[self._own + own]
        self._code.weights[name] = weight if rows is None else weight[rows]

    def take_norm(self, name: str, own: str) -> None:
        for part in ("weight", "bias"):
            self.take(f"{name}.{part}", f"{own}.{part}")

    def projected(
        self,
        result: str,
        name: str,
        inputs: Sequence[_Value],
        width: int,
        linear: str = "linear",
        norm: str = "norm",
        *,
        bias: bool = False,
        kind: str = "LinearNorm",
    ) -> None:
        """A linear layer over all inputs and a layer norm."""
        self.use(kind)
        biased = ", bias=True" if bias else ""
        self.layer(name, f"{kind}({_tuple(value.width for value in inputs)}, {width}{biased})")
        for place, value in enumerate(inputs):
            self.take(f"{name}.linear.weights.{place}", f"{linear}.weight.{value.source}")
        if bias:
            self.take(f"{name}.linear.bias", f"{linear}.bias")
        self.take_norm(f"{name}.norm", norm)
        self.set(result, f"self.{name}", inputs)


class _OperatorWriter(_Writer):
    """Writes one operator of a block; see `recnas.space.operators.OperatorCode`."""

    def __init__(self, code: NetworkCode, operator: str, result: str, block: Block, width: int) -> None:
        super().__init__(code, f"blocks.{code._number - 1}.operators.{submodule_name(operator)}.")
        self.name, self.result = f"block_{code._number}_{_variable(operator)}", result
        self.width, self.dim = width, code.dim
        self.dense = [code._dense[source] for source in block.dense_inputs]
        self.sparse = [value for source in block.sparse_inputs for value in code._sparse[source]]
        self.left, self.right = (None if at is None else code._dense[at] for at in (block.left, block.right))

    def value(self, name: str, width: int, source: str) -> _Value:
        return _Value(name, width, source)

    def padded(self, value: _Value, width: int) -> str:
        return value.name if value.width == width else f"F.pad({value.name}, (0, {width - value.width}))"

    def mapped(self, value: _Value, bias: bool = False) -> None:
        """What an operator ends with: a linear layer unless the width is right already, and a layer norm."""
        if value.width != self.width:
            self.projected(self.result, self.name, [value], self.width, bias=bias)
            return
        self.layer(self.name, f"nn.LayerNorm({self.width})")
        self.take_norm(self.name, "norm")
        self.set(self.result, f"self.{self.name}", [value])


class _BranchWriter(_Writer):
    """Writes one branch; see `recnas.space.operators.BranchCode`."""

    dense, fields = "dense_0", "fields"
    stem = f"torch.cat(({dense}, {fields}.flatten(1)), dim=1)"

    def __init__(self, code: NetworkCode, name: str, columns: int, depth: int) -> None:
        super().__init__(code, f"{submodule_name(name)}.")
        self.name = self.result = _variable(name)
        self.columns, self.depth = columns, depth


def _variable(name: str) -> str:
    """An operator's or branch's name as that of a variable."""
    return re.sub(r"\W", "_", name)


def _title(number: int, block: Block, dense: int) -> str:
    parts = []
    for operators, width, of in (
        (block.dense_operators, dense, "columns"),
        (block.sparse_operators, block.sparse_width, "fields"),
    ):
        if operators:
            parts.append(f"{' + '.join(OPERATORS[name].title for name in operators)} → {width} {of}")
    if block.dense_to_sparse:
        parts.append(f"dense → {MERGED_FIELDS} fields more")
    if block.fm:
        parts.append("FM")
    return f"Block {number}: {', '.join(parts)}"


def _tuple(widths: object) -> str:
    listed = list(map(str, widths))
    return f"({listed[0]},)" if len(listed) == 1 else f"({', '.join(listed)})"
