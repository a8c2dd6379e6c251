"""An architecture as lines of PyTorch: the layers, the forward pass, and which exported weight is which layer's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor

from recnas.export.python_text import call
from recnas.nn.network import CROSS, ChoiceNetwork, merged_name
from recnas.nn.operators import ATTENTION_HEADS, STEM
from recnas.space import Block
from recnas.space.architecture import (
    ATTENTION,
    DOT_PRODUCT,
    EFC,
    FC,
    GATING,
    MERGED_FIELDS,
    READS_DENSE_INPUTS,
    dot_product_fields,
)

TITLES = {FC: "FC", DOT_PRODUCT: "Dot-Product", GATING: "Gating", "sum": "Sum", EFC: "EFC", ATTENTION: "Attention"}
"""What operators are called in the paper."""


@dataclass
class Written:
    """A block, or the last layer, as code.

    Attributes:
        title: What it is, in one line.
        layers: Lines of `__init__`.
        steps: Lines of `forward`.
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
        network: Of one architecture.

    Attributes:
        blocks: What is live of each choice block, then the cross network if there is one, then the last layer.
        weights: The weights of the written layers, by their names in the written module.
        uses: Names of the helpers that the code calls.
    """

    def __init__(self, network: ChoiceNetwork) -> None:
        arch = network.architecture
        if arch is None:
            raise ValueError(f"{network.space.name} holds many architectures; only a finished network can be written")
        self.dim = network.dim
        self.blocks: list[Written] = []
        self.weights: dict[str, Tensor] = {}
        self.uses: set[str] = {"JoinedLinear"}
        self._own = dict(network.state_dict())
        self._dense = [_Value("dense_0", network.num_dense, "0")]
        self._sparse = [[_Value("fields_0", network.num_sparse, "0")]]
        for number, block in enumerate(arch.blocks, start=1):
            self._block(number, block)
        if arch.cross_layers:
            self._cross(network.num_dense + network.num_sparse * self.dim, arch.cross_layers)
        self._last(arch.blocks[-1], bool(arch.cross_layers))

    def _block(self, number: int, block: Block) -> None:
        if not block.dense_operators and not block.sparse_operators:
            # Nothing reads it; a place is kept, so that numbers stay.
            self._dense.append(_Value(f"dense_{number}", 0, str(number)))
            self._sparse.append([])
            return
        self._now, self._number = Written(_title(number, block)), number
        self.blocks.append(self._now)
        dense, fields = (_Value(f"{kind}_{number}", 0, str(number)) for kind in ("dense", "fields"))
        sparse: list[_Value] = []
        for value, operators, write in (
            (dense, block.dense_operators, self._dense_operator),
            (fields, block.sparse_operators, self._sparse_operator),
        ):
            for place, operator in enumerate(operators):
                write("more" if place else value.name, operator, block)
                if place:
                    self._now.steps.append(f"{value.name} = {value.name} + more")
        if block.sparse_operators:
            sparse.append(_Value(fields.name, block.sparse_width, str(number)))
        if block.dense_to_sparse:
            sparse.append(self._merger(dense.name, block))
        if block.fm:
            self._factorization_machine(dense.name, fields.name, block)
        self._dense.append(_Value(dense.name, block.dense_width, str(number)))
        self._sparse.append(sparse)

    def _dense_operator(self, result: str, operator: str, block: Block) -> None:
        name, own = f"block_{self._number}_{operator.replace('-', '_')}", f"{self._prefix}operators.{operator}."
        width = block.dense_width
        if operator in READS_DENSE_INPUTS:
            dense = [self._dense[source] for source in block.dense_inputs]
            if operator == FC:
                self._projected(result, name, own, dense, width, kind="FullyConnected")
            else:
                self._dot_product(result, name, own, dense, self._sparse_inputs(block), width)
            return
        left, right = self._dense[block.left], self._dense[block.right]
        padded = max(left.width, right.width)
        operands = [_padded(operand, padded) for operand in (left, right)]
        if operator == GATING:
            self._layer(f"{name}_gate", f"JoinedLinear(({padded},), {padded}, bias=True)")
            self._take(f"{name}_gate.weights.0", f"{own}gate.weight.{left.source}")
            self._take(f"{name}_gate.bias", f"{own}gate.bias")
            self._now.steps.append(f"gated = torch.sigmoid(self.{name}_gate({operands[0]})) * {operands[1]}")
            self._mapped(result, name, own, _Value("gated", padded, right.source), width, bias=True)
        else:
            self._now.steps.append(f"added = {operands[0]} + {operands[1]}")
            self._mapped(result, name, own, _Value("added", padded, "sum"), width)

    def _dot_product(
        self, result: str, name: str, own: str, dense: Sequence[_Value], sparse: Sequence[_Value], width: int
    ) -> None:
        reduced = dot_product_fields(width)
        for variable, values, wanted, layer, ours in (
            ("vector", dense, self.dim, "dense", "dense"),
            ("vectors", sparse, reduced, "fields", "sparse"),
        ):
            if sum(value.width for value in values) != wanted:
                self._projected(variable, f"{name}_{layer}", own, values, wanted, f"{ours}_linear", f"{ours}_norm")
            else:
                self.uses.add("joined")
                self._set(variable, "joined", values)
        self.uses.add("products")
        pairs = _Value("products(vector, vectors)", reduced * (reduced + 1) // 2, "products")
        self._mapped(result, name, own, pairs, width)

    def _sparse_operator(self, result: str, operator: str, block: Block) -> None:
        name, own = f"block_{self._number}_{operator}", f"{self._prefix}operators.{operator}."
        inputs, width = self._sparse_inputs(block), block.sparse_width
        if operator == EFC:
            self._projected(result, name, own, inputs, width, kind="FullyConnected")
            return
        self._projected("tokens", f"{name}_fields", own, inputs, width)
        self.uses.add("SelfAttention")
        self._layer(name, f"SelfAttention({self.dim}, {ATTENTION_HEADS})")
        # A key's bias is no weight: softmax does not see it.
        for place, part in enumerate(("query", "key", "value")):
            rows = slice(place * self.dim, (place + 1) * self.dim)
            self.weights[f"{name}.{part}.weights.0"] = self._own[f"{own}in_projection.weight.fields"][rows]
            if part != "key":
                self.weights[f"{name}.{part}.bias"] = self._own[f"{own}in_projection.bias"][rows]
        for mine, exported in (
            ("out", "out_projection"),
            ("feed_forward_in", "feed_forward_in"),
            ("feed_forward_out", "feed_forward_out"),
        ):
            self._take(f"{name}.{mine}.weights.0", f"{own}{exported}.weight.fields")
            self._take(f"{name}.{mine}.bias", f"{own}{exported}.bias")
        for norm in ("attention_norm", "feed_forward_norm"):
            self._norm(f"{name}.{norm}", own + norm)
        self._now.steps.append(f"{result} = self.{name}(tokens)")

    def _merger(self, dense: str, block: Block) -> _Value:
        """Eight more fields from the dense operators' output."""
        name, columns = f"block_{self._number}_merger", MERGED_FIELDS * self.dim
        merged = _Value(f"merged_{self._number}", MERGED_FIELDS, merged_name(self._number))
        if block.dense_width != columns:
            value = _Value(dense, block.dense_width, "dense")
            self._projected(merged.name, name, f"{self._prefix}dense_to_sparse.", [value], columns)
            dense = merged.name
        self._now.steps.append(f"{merged.name} = {dense}.unflatten(1, ({MERGED_FIELDS}, {self.dim})).transpose(1, 2)")
        return merged

    def _factorization_machine(self, dense: str, fields: str, block: Block) -> None:
        self.uses.add("interactions")
        value = _Value(f"interactions({fields})", self.dim, "fm")
        added = value.name
        if block.dense_width != self.dim:
            added = "fm"
            self._projected(added, f"block_{self._number}_fm", f"{self._prefix}fm.", [value], block.dense_width)
        self._now.steps.append(f"{dense} = {dense} + {added}")

    def _cross(self, columns: int, layers: int) -> None:
        self.uses.add("CrossNetwork")
        self._now = Written(f"Cross network of depth {layers} over the features (DCN-V2)")
        self.blocks.append(self._now)
        self._layer("cross", f"CrossNetwork({columns}, {layers})")
        self._now.steps.append("crossed = self.cross(torch.cat((dense_0, fields.flatten(1)), dim=1))")
        for layer in range(layers):
            self._take(f"cross.layers.{layer}.weight", f"cross.layers.{layer}.weight.{STEM}")
            self._take(f"cross.layers.{layer}.bias", f"cross.layers.{layer}.bias")

    def _last(self, block: Block, crossed: bool) -> None:
        self._now = Written("Last layer: everything that the last block gives → the logit")
        self.blocks.append(self._now)
        values = [_Value(self._dense[-1].name, block.dense_width, "dense")] if block.dense_operators else []
        for value in self._sparse[-1]:
            kind = "merged" if value.source.endswith("merged") else "fields"
            values.append(_Value(f"{value.name}.flatten(1)", value.width * self.dim, kind))
        if crossed:
            values.append(_Value("crossed", self._own[f"last.weight.{CROSS}"].numel(), CROSS))
        self._layer("last", f"JoinedLinear({_tuple(value.width for value in values)}, 1, bias=True)")
        if crossed and len(values) > 1:
            self._now.layers.append("# New blocks would drown the cross network: their say begins at zero.")
            self._now.layers += [f"nn.init.zeros_(self.last.weights[{place}])" for place in range(len(values) - 1)]
        for place, value in enumerate(values):
            self.weights[f"last.weights.{place}"] = self._own[f"last.weight.{value.source}"].reshape(1, -1)
        self._take("last.bias", "last.bias")
        self._now.steps += call("return self.last(", [value.name for value in values], ").squeeze(1)")

    def _sparse_inputs(self, block: Block) -> list[_Value]:
        return [value for source in block.sparse_inputs for value in self._sparse[source]]

    @property
    def _prefix(self) -> str:
        return f"blocks.{self._number - 1}."

    def _projected(
        self,
        result: str,
        name: str,
        own: str,
        inputs: Sequence[_Value],
        width: int,
        linear: str = "linear",
        norm: str = "norm",
        *,
        bias: bool = False,
        kind: str = "LinearNorm",
    ) -> None:
        """A linear layer over all inputs and a layer norm."""
        self.uses |= {"LinearNorm", kind}
        biased = ", bias=True" if bias else ""
        self._layer(name, f"{kind}({_tuple(value.width for value in inputs)}, {width}{biased})")
        for place, value in enumerate(inputs):
            self._take(f"{name}.linear.weights.{place}", f"{own}{linear}.weight.{value.source}")
        if bias:
            self._take(f"{name}.linear.bias", f"{own}{linear}.bias")
        self._norm(f"{name}.norm", own + norm)
        self._set(result, f"self.{name}", inputs)

    def _mapped(self, result: str, name: str, own: str, value: _Value, width: int, bias: bool = False) -> None:
        """What an operator ends with: a linear layer unless the width is right already, and a layer norm."""
        if value.width != width:
            self._projected(result, name, own, [value], width, bias=bias)
            return
        self._layer(name, f"nn.LayerNorm({width})")
        self._norm(name, own + "norm")
        self._set(result, f"self.{name}", [value])

    def _norm(self, name: str, own: str) -> None:
        for part in ("weight", "bias"):
            self._take(f"{name}.{part}", f"{own}.{part}")

    def _take(self, name: str, own: str) -> None:
        self.weights[name] = self._own[own]

    def _layer(self, name: str, made: str) -> None:
        self._now.layers.append(f"self.{name} = {made}")

    def _set(self, result: str, function: str, inputs: Sequence[_Value]) -> None:
        self._now.steps += call(f"{result} = {function}(", [value.name for value in inputs], ")")


def _title(number: int, block: Block) -> str:
    parts = []
    if block.dense_operators:
        parts.append(f"{' + '.join(TITLES[name] for name in block.dense_operators)} → {block.dense_width} columns")
    if block.sparse_operators:
        parts.append(f"{' + '.join(TITLES[name] for name in block.sparse_operators)} → {block.sparse_width} fields")
    if block.dense_to_sparse:
        parts.append(f"dense → {MERGED_FIELDS} fields more")
    if block.fm:
        parts.append("FM")
    return f"Block {number}: {', '.join(parts)}"


def _tuple(widths: object) -> str:
    listed = list(map(str, widths))
    return f"({listed[0]},)" if len(listed) == 1 else f"({', '.join(listed)})"


def _padded(value: _Value, width: int) -> str:
    return value.name if value.width == width else f"F.pad({value.name}, (0, {width - value.width}))"
