"""The batches that candidates are measured on, with their embeddings looked up once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from recnas.data import Batch
from recnas.features.schema import Schema
from recnas.nn.model import Supernet

ROWS_OF_A_PASS = 1024
"""Batches go through the network together up to so many rows; more would only leave the cache."""


@dataclass(frozen=True)
class LookedUp:
    """One batch with its fields, and which table row every lookup of it read."""

    dense: Tensor
    fields: Tensor
    label: Tensor
    lookup: Tensor
    """For each id of the batch: its position (row · n₀ + feature) in the flattened fields."""
    weight: Tensor | None
    """For each id: its share of the pooled field; None when every share is 1."""
    row: Tensor
    """For each id: the number of its table row among all rows that any of the batches touched."""


class Lookups:
    """Which table rows some batches read, whatever is in the tables.

    Args:
        schema: The features of the batches.
        batches: N batches of one size, N ≥ 2.

    Attributes:
        num_rows: Rows that any of the batches touches, numbered table by table.
        tables: For every table, which of the touched rows are its own, and where they are in it `[rows]`.

    Raises:
        ValueError: Fewer than two batches, or of different sizes.
    """

    def __init__(self, schema: Schema, batches: Sequence[Batch]) -> None:
        if len(batches) < 2:
            raise ValueError(f"{len(batches)} batches; a standard deviation over batches needs at least 2")
        if len({len(batch) for batch in batches}) > 1:
            raise ValueError("proxy batches differ in size")
        self.schema, self.batches = schema, batches
        self._ids = [_ids(batch, schema) for batch in batches]
        stacked = torch.cat([torch.stack((feature, row)) for feature, row, _, _ in self._ids], dim=1)
        touched, number = stacked.unique(dim=1, return_inverse=True)
        self._numbers = number.split([len(row) for _, row, _, _ in self._ids])
        self.num_rows = touched.shape[1]
        self.tables: list[tuple[slice, Tensor]] = []
        start = 0
        for count in touched[0].bincount(minlength=len(schema.sparse)).tolist():
            self.tables.append((slice(start, start + count), touched[1, start : start + count]))
            start += count

    def with_fields(self, fields: Sequence[Tensor]) -> list[LookedUp]:
        """The batches with the fields of each, `[B, n₀, E]`."""
        return [
            LookedUp(batch.dense, own, batch.label, lookup, weight, row)
            for batch, own, (_, _, lookup, weight), row in zip(
                self.batches, fields, self._ids, self._numbers, strict=True
            )
        ]

    def pooled(self, rows: Tensor) -> list[Tensor]:
        """The fields of each batch, `[B, n₀, E]`, of touched rows `[rows, E]`."""
        fields = []
        for batch, (_, _, lookup, weight), row in zip(self.batches, self._ids, self._numbers, strict=True):
            read = rows[row]
            if weight is not None:
                read = read * weight.unsqueeze(1).to(read.dtype)
            count = len(self.schema.sparse)
            flat = rows.new_zeros(len(batch) * count, rows.shape[1]).index_add_(0, lookup, read)
            fields.append(flat.unflatten(0, (len(batch), count)))
        return fields


class FieldBatches:
    """Batches with their embeddings looked up, cut from the graph.

    Args:
        lookups: Which rows they read.
        tables: Of every table the touched rows `[rows, E]`, in the order of `Lookups.tables`.
        fields: Of every batch `[B, n₀, E]`.

    Attributes:
        tables: For every table, which of the touched rows are its own, and these rows `[rows, E]`.
        looked_up: The batches.
    """

    def __init__(self, lookups: Lookups, tables: Sequence[Tensor], fields: Sequence[Tensor]) -> None:
        self.num_rows = lookups.num_rows
        self.tables = [(own, rows) for (own, _), rows in zip(lookups.tables, tables, strict=True)]
        self.looked_up = lookups.with_fields(fields)

    def passes(self) -> list[list[LookedUp]]:
        """The batches, grouped by the pass in which they go through the network."""
        together = max(1, ROWS_OF_A_PASS // len(self.looked_up[0].label))
        return [self.looked_up[start : start + together] for start in range(0, len(self.looked_up), together)]

    @property
    def num_batch_rows(self) -> int:
        """Rows of all batches together."""
        return sum(len(batch.label) for batch in self.looked_up)

    def rows(self, most: int | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Dense features `[rows, d₀]`, fields `[rows, n₀, E]` and labels of all batches' rows, or of the first ones."""
        dense, fields, label = (
            torch.cat([getattr(batch, name) for batch in self.looked_up])[:most]
            for name in ("dense", "fields", "label")
        )
        return dense, fields, label.to(dense.dtype)

    def row_gradients(self, batch: LookedUp, gradient: Tensor) -> Tensor:
        """The gradient at the fields `[B, n₀, E]` as one at the touched table rows `[rows, E]`."""
        by_id = gradient.flatten(0, 1)[batch.lookup]
        if batch.weight is not None:
            by_id = by_id * batch.weight.unsqueeze(1).to(by_id.dtype)
        rows = by_id.new_zeros(self.num_rows, by_id.shape[1])
        return rows.index_add_(0, batch.row, by_id)


class ProxyBatches(FieldBatches):
    """The batches that candidates are scored on, with the embeddings of a supernet.

    A copy of the looked-up fields is kept: a fused optimiser would train the tables in a backward.

    Args:
        supernet: Whose tables are looked up.
        batches: N batches of one size, N ≥ 2, on the supernet's device.

    Raises:
        ValueError: Fewer than two batches, or of different sizes.
    """

    def __init__(self, supernet: Supernet, batches: Sequence[Batch]) -> None:
        lookups = Lookups(supernet.schema, batches)
        tables = zip(supernet.embeddings.tables().values(), lookups.tables, strict=True)
        touched = [table[places].detach().clone() for table, (_, places) in tables]
        with torch.no_grad():
            fields = [supernet.embeddings(batch.sparse).detach().clone() for batch in batches]
        super().__init__(lookups, touched, fields)


def _ids(batch: Batch, schema: Schema) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """Each id's feature number, table row, position in the flattened fields, and share of its pooled field."""
    size, count = len(batch), len(schema.sparse)
    lengths = batch.sparse.lengths().view(count, size)
    values = batch.sparse.values()
    bag = torch.repeat_interleave(torch.arange(count * size, device=values.device), lengths.flatten())
    feature = torch.div(bag, size, rounding_mode="floor")
    lookup = (bag % size) * count + feature
    mean = torch.tensor([item.pooling == "mean" for item in schema.sparse], device=values.device)
    if not bool(mean.any()):
        return feature, values, lookup, None
    share = torch.where(mean[:, None], 1 / lengths.clamp(min=1).double(), 1.0)
    return feature, values, lookup, share.flatten()[bag]
