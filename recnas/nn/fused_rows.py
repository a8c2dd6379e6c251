"""Embedding rows that are looked up and learn in compiled loops, on a CPU: what FBGEMM does not offer there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from recnas.candidates.embedding_optimizer import EmbeddingOptimizer
from recnas.nn import row_kernels
from recnas.nn.compiled import Array
from recnas.nn.row_decay import COUNTS, RATES_THEN

KINDS = {
    "rowwise-adagrad": row_kernels.ROWWISE_ADAGRAD,
    "adagrad": row_kernels.ADAGRAD,
    "rowwise-adam": row_kernels.ROWWISE_ADAM,
    "adam": row_kernels.ADAM,
}


class FusedRows(nn.Module):
    """Tables whose rows are looked up, pooled, and in the backward pass updated by `EmbeddingOptimizer`'s rules.

    It stands in the place of FBGEMM's module inside of TorchRec's, has its interface, and shares its weights, so that
    plans, exchanges between processes and the state dict are TorchRec's. Gradients of equal rows are added in the order
    of the batch. Reading a row changes nothing: decay is stored when a row is updated, and by `settle`.

    Args:
        fused: FBGEMM's module of tables of one feature each, without an optimiser's state.
        mean: Whether several rows are pooled by their mean; else by their sum.
        optimizer: How the rows learn.
        penalties: λ of each table.
        rates: The sum of all steps' learning rates, `[1]`, in double precision.
    """

    def __init__(
        self, fused: nn.Module, mean: bool, optimizer: EmbeddingOptimizer, penalties: Sequence[float], rates: Tensor
    ) -> None:
        super().__init__()
        self.mean, self.optimizer, self.rates = mean, optimizer, rates
        self.learning_rate = 0.0
        self._tables: list[Tensor] = fused.split_embedding_weights()
        self._weights: Tensor = fused.weights_host.detach().flatten()
        rows = np.array([len(table) for table in self._tables])
        dims = np.array([table.shape[1] for table in self._tables])
        starts = np.array([table.storage_offset() for table in self._tables]) - self._weights.storage_offset()
        self._first_rows = np.cumsum(rows) - rows
        self._shape = (starts, rows, dims, np.cumsum(dims) - dims)
        self.dim = int(dims.sum())
        self._penalties = np.array(penalties, dtype=np.float64)
        self._corrections = row_kernels.corrections()
        adam = optimizer.name.endswith("adam")
        # What is not needed is a single element, as loops want an array. NumPy asks for large pages.
        elements, total = self._weights.numel(), int(rows.sum())
        self._first = _zeros(elements if adam else 1)
        self._second = _zeros(elements if optimizer.elementwise else total)
        self._counts = _zeros(total if adam else 1)
        self._rates_then = _zeros(total if optimizer.decays else 1, np.float64)
        second = "exp_avg_sq" if adam else "sum"
        self.states: list[dict[str, Tensor]] = []
        for table, first, start in zip(self._tables, self._first_rows.tolist(), starts.tolist(), strict=True):
            row_part, part = slice(first, first + len(table)), slice(start, start + table.numel())
            state = {"exp_avg": self._first[part].view_as(table)} if adam else {}
            state[second] = self._second[part].view_as(table) if optimizer.elementwise else self._second[row_part]
            if adam:
                state[COUNTS] = self._counts[row_part]
            if optimizer.decays:
                state[RATES_THEN] = self._rates_then[row_part]
            self.states.append(state)
        # Autograd calls the update only if something that is looked up wants a gradient.
        self._wants_gradient = torch.zeros(0, requires_grad=True)

    def forward(self, indices: Tensor, offsets: Tensor, per_sample_weights: Tensor | None = None) -> Tensor:
        """Looks up and pools rows.

        Args:
            indices: Rows of tables, table by table, bag by bag.
            offsets: Where each bag begins, `[tables · B + 1]`.
            per_sample_weights: None.

        Returns:
            `[B, Σ columns]`, table by table.

        Raises:
            IndexError: A table has no such row.
        """
        return _Lookup.apply(self._wants_gradient, self, indices, offsets)

    def lookup(self, ids: Array, offsets: Array, rates: float) -> Tensor:
        """What `forward` gives, when the sum of learning rates is `rates`."""
        result = torch.empty((len(offsets) - 1) // len(self._tables), self.dim)
        wrong = row_kernels.lookup(ids, offsets, *self._arrays(rates), result.numpy())
        if wrong >= 0:
            raise IndexError(f"an embedding table has no row {ids[wrong]}")
        return result

    def update(self, ids: Array, offsets: Array, rates: float, rate: float, gradient: Tensor) -> None:
        """Updates the rows of a lookup that was made at the sum of learning rates `rates`, by its gradient."""
        row_kernels.update(
            ids,
            offsets,
            *self._arrays(rates),
            self._first.numpy(),
            self._corrections[0],
            rate,
            gradient.detach().contiguous().numpy(),
        )

    def _arrays(self, rates: float) -> tuple[Any, ...]:
        return (
            self._weights.numpy(),
            *self._shape,
            self.mean,
            self._penalties,
            rates,
            KINDS[self.optimizer.name],
            self.optimizer.eps,
            self._second.numpy(),
            self._first_rows,
            self._counts.numpy(),
            self._rates_then.numpy(),
            self._corrections[1],
        )

    def settle(self) -> None:
        """Brings all rows up to date."""
        adam = self.optimizer.name.endswith("adam")
        for table, state, penalty in zip(self._tables, self.states, self._penalties.tolist(), strict=True):
            if penalty:
                second = state["exp_avg_sq" if adam else "sum"].view(len(table), -1)
                row_kernels.settle(
                    table.numpy(),
                    second.numpy(),
                    penalty,
                    self.rates.item(),
                    adam,
                    self.optimizer.eps,
                    state.get(COUNTS, self._counts).numpy(),
                    state[RATES_THEN].numpy(),
                    self._corrections[1],
                )

    def set_learning_rate(self, rate: float) -> None:
        """Sets the learning rate of updates whose lookup is still to come."""
        self.learning_rate = rate

    def get_learning_rate(self) -> float:
        return self.learning_rate

    def split_embedding_weights(self) -> list[Tensor]:
        """The tables' weights, sharing memory; of a row, those after its last update or `settle`."""
        return self._tables

    def flush(self) -> None:
        """There is no cache of rows."""

    def reset_cache_states(self) -> None:
        """There is no cache of rows."""


class _Lookup(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, wants_gradient: Tensor, rows: FusedRows, indices: Tensor, offsets: Tensor) -> Tensor:
        ctx.rows, ctx.ids, ctx.offsets = rows, indices.numpy(), offsets.numpy()
        ctx.rates, ctx.rate = rows.rates.item(), rows.learning_rate
        return rows.lookup(ctx.ids, ctx.offsets, ctx.rates)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, ...]:
        ctx.rows.update(ctx.ids, ctx.offsets, ctx.rates, ctx.rate, gradient)
        return None, None, None, None


def _zeros(size: int, kind: type = np.float32) -> Tensor:
    return torch.from_numpy(np.zeros(size, kind))
