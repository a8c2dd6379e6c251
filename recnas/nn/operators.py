"""The operators and mergers of a choice block (NASRec, Zhang et al. 2023, section 3.1).

Shapes: B rows, E columns of an embedding, dd columns of the dense output, ds fields of the sparse output. Dense tensors
are `[B, width]`. Sparse tensors are `[B, E, fields]`: with fields last, a linear layer over fields is one matrix
product and a layer norm over fields is a norm over the last axis. Inputs are pieces, one an earlier output; a sparse
one's fields come from one or two sources (its operators and, if on, its merger).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recnas.nn.elastic import PLAIN, ElasticLinear, ElasticNorm, Piece, Slices
from recnas.space.architecture import MERGED_FIELDS, dot_product_fields

STEM = "stem"
"""The source that a cross layer reads."""
ATTENTION_HEADS = 8
ATTENTION_NORM_START = 0.17


@dataclass(frozen=True)
class Inputs:
    """What a layer may read, over all candidates of a space.

    Attributes:
        sources: The widest output of every source, by name.
        narrowest: The smallest concatenated width that a candidate can give the layer.
        widest: The largest.
    """

    sources: Mapping[str, int]
    narrowest: int
    widest: int

    def always(self, width: int) -> bool:
        """Whether every candidate gives exactly this width."""
        return self.narrowest == self.widest == width


def total(inputs: Sequence[Piece]) -> int:
    """The concatenated width of pieces."""
    return sum(piece.x.shape[-1] for piece in inputs)


def concat(inputs: Sequence[Piece]) -> Tensor:
    return inputs[0].x if len(inputs) == 1 else torch.cat([piece.x for piece in inputs], dim=-1)


class CrossNetwork(nn.Module):
    """Cross layers over the stem's columns: x₀ = concat(D₀, flatten S₀), then xₗ₊₁ = x₀ ∘ (W xₗ + b) + xₗ (DCN-V2,
    Wang et al. 2021, equation 1).

    Args:
        columns: d₀ + n₀ · E.
        layers: The most that a candidate has.
    """

    def __init__(self, columns: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(ElasticLinear({STEM: columns}, columns, columns, bias=True) for _ in range(layers))
        for layer in self.layers:
            # As the matrix of torch's Linear starts, and with it the hand-made DCN-V2. Xavier's √3 times as much
            # overfits rare ids.
            nn.init.uniform_(layer.weight[STEM], -(columns**-0.5), columns**-0.5)

    def forward(self, dense: Tensor, fields: Tensor, layers: int, slices: Slices | None = None) -> Tensor:
        """Dense features `[B, d₀]` and fields `[B, n₀, E]` through the first layers: `[B, columns]`.

        Raises:
            ValueError: There are fewer layers.
        """
        if layers > len(self.layers):
            raise ValueError(f"{layers} cross layers are asked for where there are {len(self.layers)}")
        stem = x = torch.cat([dense, fields.flatten(1)], dim=1)
        for layer in self.layers[:layers]:
            x = stem * layer([Piece.of(STEM, x)], stem.shape[1], slices) + x
        return x


class FullyConnected(nn.Module):
    """FC: Linear → LN(dd) → ReLU over the concatenated dense inputs."""

    def __init__(self, dense: Inputs, width: int) -> None:
        super().__init__()
        self.linear = ElasticLinear(dense.sources, width, dense.widest)
        self.norm = ElasticNorm(width)

    def forward(self, dense: Sequence[Piece], width: int, slices: Slices | None = None) -> Tensor:
        """Pieces `[B, ·]` → `[B, width]`."""
        return self.norm(self.linear(dense, width, slices), slices, relu=True)


class EmbeddingFullyConnected(nn.Module):
    """EFC: Linear over the field axis → LN over the ds fields → ReLU."""

    def __init__(self, sparse: Inputs, width: int) -> None:
        super().__init__()
        self.linear = ElasticLinear(sparse.sources, width, sparse.widest)
        self.norm = ElasticNorm(width)

    def forward(self, sparse: Sequence[Piece], width: int, slices: Slices | None = None) -> Tensor:
        """Pieces `[B, E, ·]` → `[B, E, width]`."""
        return self.norm(self.linear(sparse, width, slices), slices, relu=True)


class DotProduct(nn.Module):
    """Dot-Product: all products of two different vectors of {x, y₁ … y_k} → Linear → LN(dd).

    x is the dense input brought to E columns, y the sparse input brought to k = round(√(2·dd)) fields. The triangle of
    products is taken row by row, so a smaller k's products are the first of a larger k's and the weights can be shared.
    """

    def __init__(self, dense: Inputs, sparse: Inputs, widths: Sequence[int], dim: int) -> None:
        super().__init__()
        width, reduced = max(widths), dot_product_fields(max(widths))
        smallest = dot_product_fields(min(widths))
        products = reduced * (reduced + 1) // 2
        self.dim = dim
        self.dense_linear = self.dense_norm = self.sparse_linear = self.sparse_norm = self.linear = None
        if not dense.always(dim):
            self.dense_linear = ElasticLinear(dense.sources, dim, dense.widest)
            self.dense_norm = ElasticNorm(dim)
        if not (smallest == reduced and sparse.always(reduced)):
            self.sparse_linear = ElasticLinear(sparse.sources, reduced, sparse.widest)
            self.sparse_norm = ElasticNorm(reduced)
        if not (len(set(widths)) == 1 and products == width):
            self.linear = ElasticLinear({"products": products}, width, products)
        self.norm = ElasticNorm(width)

    def forward(
        self, dense: Sequence[Piece], sparse: Sequence[Piece], width: int, slices: Slices | None = None
    ) -> Tensor:
        """Pieces `[B, ·]` and `[B, E, ·]` → `[B, width]`."""
        reduced = dot_product_fields(width)
        if total(dense) == self.dim:
            x = concat(dense)
        else:
            x = self.dense_norm(self.dense_linear(dense, self.dim, slices), slices)
        if total(sparse) == reduced:
            y = concat(sparse)
        else:
            y = self.sparse_norm(self.sparse_linear(sparse, reduced, slices), slices)
        vectors = torch.cat((x.unsqueeze(-1), y), dim=-1)
        pairs = (slices or PLAIN).products(vectors)
        if pairs.shape[-1] != width:
            pairs = self.linear([Piece.of("products", pairs)], width, slices)
        return self.norm(pairs, slices)


class Gating(nn.Module):
    """Gating: sigmoid(Linear(left)) · right → Linear → LN(dd), both operands zero-padded to the wider one's width m.

    The weights are those of the padded matrices; their products with the padding's zeros are not computed.
    """

    def __init__(self, left: Inputs, right: Inputs, widths: Sequence[int]) -> None:
        super().__init__()
        padded, width = max(left.widest, right.widest), max(widths)
        exact = left.narrowest == left.widest and right.narrowest == right.widest
        # In a finished network the gate's matrix is the padded square; in a supernet each source keeps its own columns.
        gate_sources = {name: padded if exact else size for name, size in left.sources.items()}
        self.gate = ElasticLinear(gate_sources, padded, padded, bias=True)
        self.linear = None
        if not (exact and len(set(widths)) == 1 and padded == width):
            out_sources = {name: padded if exact else size for name, size in right.sources.items()}
            self.linear = ElasticLinear(out_sources, width, padded, bias=True)
        self.norm = ElasticNorm(width)

    def forward(self, left: Piece, right: Piece, width: int, slices: Slices | None = None) -> Tensor:
        """Operands `[B, l]` and `[B, r]` → `[B, width]`."""
        padded = max(left.x.shape[-1], right.x.shape[-1])
        gated = torch.sigmoid(self.gate([left], right.x.shape[-1], slices)) * right.x
        if padded == width:
            gated = F.pad(gated, (0, padded - gated.shape[-1]))
        else:
            gated = self.linear([Piece(gated, right.parts)], width, slices)
        return self.norm(gated, slices)


class Sum(nn.Module):
    """Sum: left + right → Linear → LN(dd), both operands zero-padded to the wider one's width m.

    Both operands go through one matrix, so its columns belong to positions, not to sources.
    """

    def __init__(self, left: Inputs, right: Inputs, widths: Sequence[int]) -> None:
        super().__init__()
        padded, width = max(left.widest, right.widest), max(widths)
        narrowest = max(left.narrowest, right.narrowest)
        self.linear = None
        if not (narrowest == padded and len(set(widths)) == 1 and padded == width):
            self.linear = ElasticLinear({"sum": padded}, width, padded)
        self.norm = ElasticNorm(width)

    def forward(self, left: Piece, right: Piece, width: int, slices: Slices | None = None) -> Tensor:
        """Operands `[B, l]` and `[B, r]` → `[B, width]`."""
        padded = max(left.x.shape[-1], right.x.shape[-1])
        added = sum(F.pad(operand.x, (0, padded - operand.x.shape[-1])) for operand in (left, right))
        if padded != width:
            added = self.linear([Piece.of("sum", added)], width, slices)
        return self.norm(added, slices)


class Attention(nn.Module):
    """Attention: Linear over fields, LN; self-attention over the ds fields, add, LN(E); feed-forward, add, LN(E)."""

    def __init__(self, sparse: Inputs, width: int, dim: int) -> None:
        super().__init__()
        self.linear = ElasticLinear(sparse.sources, width, sparse.widest)
        self.norm = ElasticNorm(width)
        here = {"fields": dim}
        # A key's bias shifts all scores of a query alike, which softmax does not see: its gradient is zero, and would
        # be rounding noise if it were computed.
        seen = torch.ones(3, dim)
        seen[1] = 0
        self.in_projection = ElasticLinear(here, 3 * dim, dim, bias=True, bias_mask=seen.flatten())
        self.out_projection = ElasticLinear(here, dim, dim, bias=True)
        self.attention_norm = ElasticNorm(dim, ATTENTION_NORM_START)
        self.feed_forward_in = ElasticLinear(here, dim, dim, bias=True)
        self.feed_forward_out = ElasticLinear(here, dim, dim, bias=True)
        self.feed_forward_norm = ElasticNorm(dim, ATTENTION_NORM_START)
        self.dim = dim

    def forward(self, sparse: Sequence[Piece], width: int, slices: Slices | None = None) -> Tensor:
        """Pieces `[B, E, ·]` → `[B, E, width]`."""

        def over_columns(layer: ElasticLinear, x: Tensor, out: int = self.dim) -> Tensor:
            return layer([Piece.of("fields", x)], out, slices)

        x = self.norm(self.linear(sparse, width, slices), slices).transpose(1, 2)
        packed = over_columns(self.in_projection, x, 3 * self.dim)
        attended = (slices or PLAIN).attention(packed, ATTENTION_HEADS)
        x = self.attention_norm(x + over_columns(self.out_projection, attended), slices)
        hidden = (slices or PLAIN).relu(over_columns(self.feed_forward_in, x))
        x = self.feed_forward_norm(x + over_columns(self.feed_forward_out, hidden), slices)
        return x.transpose(1, 2)


class DenseToSparse(nn.Module):
    """The dense→sparse merger: the dense output as eight more fields; Linear → LN(8E) unless already 8E wide."""

    def __init__(self, widths: Sequence[int], dim: int) -> None:
        super().__init__()
        self.columns = MERGED_FIELDS * dim
        self.linear = self.norm = None
        if set(widths) != {self.columns}:
            self.linear = ElasticLinear({"dense": max(widths)}, self.columns, max(widths))
            self.norm = ElasticNorm(self.columns)

    def forward(self, dense: Tensor, slices: Slices | None = None) -> Tensor:
        """`[B, dd]` → `[B, E, 8]`."""
        if dense.shape[-1] != self.columns:
            dense = self.norm(self.linear([Piece.of("dense", dense)], self.columns, slices), slices)
        return dense.unflatten(-1, (MERGED_FIELDS, -1)).transpose(1, 2)


class FactorizationMachine(nn.Module):
    """The FM merger: (Σ_f s_f)² - Σ_f s_f² over fields; Linear → LN(dd) unless dd is E."""

    def __init__(self, widths: Sequence[int], dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.linear = self.norm = None
        if set(widths) != {dim}:
            self.linear = ElasticLinear({"fm": dim}, max(widths), dim)
            self.norm = ElasticNorm(max(widths))

    def forward(self, fields: Tensor, width: int, slices: Slices | None = None) -> Tensor:
        """`[B, E, ds]` → `[B, width]`."""
        interactions = (slices or PLAIN).interactions(fields)
        if width == self.dim:
            return interactions
        return self.norm(self.linear([Piece.of("fm", interactions)], width, slices), slices)
