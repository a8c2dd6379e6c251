"""What a network is given of a data set: numbers as fields before the embedded ones, and the columns that it reads."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from recnas.features.number_field import FIELD, PIECEWISE, NumberField
from recnas.features.schema import Schema
from recnas.nn.elastic import WeightSlices, take
from recnas.space import Architecture


class NumberFields(nn.Module):
    """Fields that are computed from dense features: `[B, d]` → `[B, k, E]`, in the order of `schema.number_fields`.

    A `field` is a vector times the number, as Rendle (2010) feeds real numbers to factorisation machines and Song et
    al. (2019, section 4.2) to AutoInt. A `piecewise` one is linear in the piecewise-linear encoding of the number
    (Gorishniy et al. 2022, section 3.2): e_t = (x - b_{t-1}) / (b_t - b_{t-1}), held to 0 … 1, for each piece t between
    two edges. Unlike there, the first and the last piece are held, too: a number beyond the outer edges is as the edge.
    Where a number is said to be missing, its field is a vector of its own.

    Args:
        schema: The features.
        dim: Columns of an embedding, E.
        first_order: Whether fields have one column more, the last: a first-order weight, computed like the others.
    """

    def __init__(self, schema: Schema, dim: int, first_order: bool = False) -> None:
        super().__init__()
        columns = {feature.name: place for place, feature in enumerate(schema.dense)}
        fields = schema.number_fields
        self.columns, self.first_order = dim + first_order, first_order
        scaled, piecewise = (
            [place for place, item in enumerate(fields) if item.kind == kind] for kind in (FIELD, PIECEWISE)
        )
        missing = [place for place, item in enumerate(fields) if item.missing is not None]
        self._index("scaled", [columns[fields[place].dense] for place in scaled])
        self._index("piecewise", [columns[fields[place].dense] for place in piecewise])
        self._index("order", _inverse([*scaled, *piecewise]))
        self._index("with_missing", missing)
        self._index("missing", [columns[fields[place].missing] for place in missing])
        self.vectors = self._parameter(len(scaled))
        self.missing_vectors = self._parameter(len(missing))
        lows, slopes = _pieces([fields[place] for place in piecewise])
        self.register_buffer("lows", lows, persistent=False)
        self.register_buffer("slopes", slopes, persistent=False)
        self.starts = self._parameter(len(piecewise))
        self.pieces = nn.Parameter(torch.zeros(*lows.shape, self.columns)) if piecewise else None
        if piecewise:
            with torch.no_grad():
                # A field is a sum of at most all its pieces: it begins as large as an embedding of as many rows.
                deviation = (2 / (lows.shape[1] + dim)) ** 0.5 / lows.shape[1] ** 0.5
                self.pieces[..., :dim].normal_(std=deviation)

    @torch.no_grad()
    def start(self, deviation: float) -> None:
        """Every vector begins anew with this standard deviation; a field of pieces sums those below its number."""
        for parameter in self.parameters():
            parameter[..., : self.columns - self.first_order].normal_(std=deviation)

    def forward(self, dense: Tensor, slices: WeightSlices | None = None) -> Tensor:
        """Dense features `[B, d]` → `[B, k, E]`, or `[B, k, E + 1]`."""
        parts = []
        if self.vectors is not None:
            parts.append(_picked(dense, self.scaled) * self._taken(self.vectors, slices))
        if self.pieces is not None:
            encoded = ((_picked(dense, self.piecewise) - self.lows) * self.slopes).clamp(0, 1)
            sums = torch.bmm(encoded.transpose(0, 1), self._taken(self.pieces, slices)).transpose(0, 1)
            parts.append(sums + self._taken(self.starts, slices))
        fields = torch.cat(parts, dim=1).index_select(1, self.order) if len(parts) > 1 else parts[0]
        if self.missing_vectors is None:
            return fields
        is_missing = _picked(dense, self.missing) > 0
        own = torch.where(
            is_missing, self._taken(self.missing_vectors, slices), fields.index_select(1, self.with_missing)
        )
        return fields.index_copy(1, self.with_missing, own)

    def _taken(self, parameter: nn.Parameter, slices: WeightSlices | None) -> Tensor:
        return take(self, parameter, tuple(parameter.shape), slices)

    def _index(self, name: str, places: list[int]) -> None:
        self.register_buffer(name, torch.tensor(places, dtype=torch.long), persistent=False)

    def _parameter(self, count: int) -> nn.Parameter | None:
        """A vector for each of so many fields; first-order weights begin at zero."""
        if not count:
            return None
        dim = self.columns - self.first_order
        vectors = nn.init.xavier_normal_(torch.empty(count, dim)) if dim else torch.empty(count, 0)
        return nn.Parameter(torch.cat([vectors, torch.zeros(count, self.first_order)], dim=1))


def _picked(dense: Tensor, columns: Tensor) -> Tensor:
    """Some columns of `[B, d]`: `[B, k, 1]`."""
    return dense.index_select(1, columns).unsqueeze(-1)


def _inverse(permutation: list[int]) -> list[int]:
    return sorted(range(len(permutation)), key=permutation.__getitem__)


def _pieces(fields: list[NumberField]) -> tuple[Tensor, Tensor]:
    """Where each piece of each field begins, and one over its length, `[fields, pieces]`; what lacks pieces has zeros.

    They are taken in double precision: edges may be close, though nothing is steeper than a number can say.
    """
    kind = torch.get_default_dtype()
    most = max((len(item.edges) - 1 for item in fields), default=0)
    lows, slopes = torch.zeros(2, len(fields), most, dtype=torch.float64)
    for place, item in enumerate(fields):
        edges = torch.tensor(item.edges, dtype=torch.float64)
        lows[place, : len(edges) - 1], slopes[place, : len(edges) - 1] = edges[:-1], 1 / edges.diff()
    return lows.to(kind), slopes.clamp(max=torch.finfo(kind).max).to(kind)


class FedNetwork(nn.Module):
    """A network behind what it is given: fields of numbers come first, and columns are those that it reads.

    Args:
        schema: The features.
        network: Columns `[B, d₀]` and fields `[B, n, E]` → logits; a supernet's part takes an architecture, too.
        dim: Columns of an embedding, E.
        first_order: Whether fields have one column more; see `NumberFields`.
    """

    def __init__(self, schema: Schema, network: nn.Module, dim: int, first_order: bool = False) -> None:
        super().__init__()
        self.numbers = NumberFields(schema, dim, first_order) if schema.number_fields else None
        self.reads_columns, self.network = schema.reads_columns, network

    def forward(
        self, dense: Tensor, fields: Tensor, arch: Architecture | None = None, slices: WeightSlices | None = None
    ) -> Tensor:
        """Dense features `[B, d]` and embedded fields `[B, n₀, E]` → what the network gives."""
        if self.numbers is not None:
            fields = torch.cat([self.numbers(dense, slices), fields], dim=1)
        if not self.reads_columns:
            dense = torch.zeros_like(dense[:, :1])
        return self.network(dense, fields) if arch is None else self.network(dense, fields, arch, slices)


def fed(schema: Schema, network: nn.Module, dim: int, first_order: bool = False) -> nn.Module:
    """A network behind a `FedNetwork`; the network itself where it is given a batch's columns and fields as they are.

    Args:
        schema: The features.
        network: Made for `schema.num_columns` columns and `schema.num_fields` fields.
        dim: Columns of an embedding, E.
        first_order: Whether fields have one column more; see `NumberFields`.
    """
    return FedNetwork(schema, network, dim, first_order) if is_fed(schema) else network


def is_fed(schema: Schema) -> bool:
    """Whether networks are given something else than a batch's columns and fields."""
    return bool(schema.number_fields or (schema.dense and not schema.reads_columns))


def inner_network(module: nn.Module) -> nn.Module:
    """The network behind a `FedNetwork`; any other module as it is."""
    return module.network if isinstance(module, FedNetwork) else module


def count_number_macs(schema: Schema, columns: int) -> int:
    """Multiply–accumulates a row of the matrix products of `NumberFields`.

    Args:
        schema: The features.
        columns: Of a field, its first-order weight included.
    """
    piecewise = [item for item in schema.number_fields if item.kind == PIECEWISE]
    return len(piecewise) * max((len(item.edges) - 1 for item in piecewise), default=0) * columns
