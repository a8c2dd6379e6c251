"""Embedding rows that are looked up and learn in compiled loops, on a CPU: what FBGEMM does not offer there."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from recnas.candidates.embedding_optimizer import COUNTS, EXP_AVG, RATES_THEN, EmbeddingOptimizer
from recnas.nn import row_kernels
from recnas.nn.compiled import Array, in_threads

IDS_OF_THREAD = 4096
"""Rows to look up that are worth a thread of their own."""


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
        self._penalties = np.array(penalties, dtype=np.float64)
        rows = np.array([len(table) for table in self._tables])
        dims = np.array([table.shape[1] for table in self._tables])
        starts = np.array([table.storage_offset() for table in self._tables]) - self._weights.storage_offset()
        first_rows, columns = (np.cumsum(sizes) - sizes for sizes in (rows, dims))
        self._places = tuple(item.astype(np.uint64) for item in (starts, rows, first_rows, dims, columns))
        self.dim, adam, momentum = int(dims.sum()), optimizer.is_adam, optimizer.has_momentum
        self._kernels = row_kernels.kernels(optimizer.elementwise, adam, momentum, optimizer.decays)
        self._corrections = [row_kernels.corrections(beta) for beta in (optimizer.beta1, row_kernels.BETA_2)]
        # Of what is not needed there is one element, as the loops take arrays. NumPy's zeros are in large pages.
        elements, total = self._weights.numel(), int(rows.sum())
        self._first = _zeros(elements if momentum else 1)
        self._second = _zeros(elements if optimizer.elementwise else total)
        self._counts = _zeros(total if adam else 1)
        self._rates_then = _zeros(total if optimizer.decays else 1, np.float64)
        self._states: list[dict[str, Tensor]] = []
        for table, start, row in zip(self._tables, starts.tolist(), first_rows.tolist(), strict=True):
            part, of_rows = slice(start, start + table.numel()), slice(row, row + len(table))
            second = self._second[part].view_as(table) if optimizer.elementwise else self._second[of_rows]
            state = {
                EXP_AVG: self._first[part].view_as(table) if momentum else None,
                optimizer.second_moment: second,
                COUNTS: self._counts[of_rows],
                RATES_THEN: self._rates_then[of_rows],
            }
            self._states.append({name: state[name] for name in optimizer.state_names})
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
        bags = (len(offsets) - 1) // len(self._tables)
        result = torch.empty(bags, self.dim)
        parts = _threads(len(ids))
        bounds = [bags * part // parts for part in range(parts + 1)]
        lookup = partial(self._kernels.lookup, ids, offsets, *self._arrays(rates), result.numpy())
        for wrong in in_threads(lookup, bounds):
            if wrong >= 0:
                raise IndexError(f"an embedding table has no row {ids[wrong]}")
        return result

    def update(self, ids: Array, offsets: Array, rates: float, rate: float, gradient: Tensor) -> None:
        """Updates the rows of a lookup that was made at the sum of learning rates `rates`, by its gradient."""
        # Tables are shared out by the number of ids.
        parts, ends = _threads(len(ids)), offsets[len(gradient) :: max(1, len(gradient))]
        inner = np.searchsorted(ends, [len(ids) * part / parts for part in range(1, parts)], "right").tolist()
        update = partial(
            self._kernels.update,
            ids,
            offsets,
            *self._arrays(rates),
            self._first.numpy(),
            self._corrections[0],
            self.optimizer.beta1,
            rate,
            gradient.detach().contiguous().numpy(),
        )
        in_threads(update, [0, *inner, len(self._tables)])

    def _arrays(self, rates: float) -> tuple[Any, ...]:
        moments = (self._second.numpy(), self._counts.numpy(), self._rates_then.numpy())
        decay = (self._penalties, rates, self.optimizer.eps, self._corrections[1])
        return (self._weights.numpy(), *self._places, self.mean, *moments, *decay)

    def settle(self) -> None:
        """Brings all rows up to date."""
        for table, state, penalty in zip(self._tables, self._states, self._penalties.tolist(), strict=True):
            if penalty:
                self._kernels.settle(
                    table.numpy(),
                    state[self.optimizer.second_moment].view(len(table), -1).numpy(),
                    state.get(COUNTS, self._counts).numpy(),
                    state[RATES_THEN].numpy(),
                    penalty,
                    self.rates.item(),
                    self.optimizer.eps,
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

    def get_optimizer_state(self) -> list[dict[str, Tensor]]:
        """The optimiser's state of each table by name, sharing memory."""
        return self._states

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


def _threads(ids: int) -> int:
    """How many of torch's threads are worth it for so many ids."""
    return max(1, min(torch.get_num_threads(), ids // IDS_OF_THREAD))


def _zeros(size: int, kind: type = np.float32) -> Tensor:
    return torch.from_numpy(np.zeros(size, kind))
