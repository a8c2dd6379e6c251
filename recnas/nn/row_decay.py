"""Decay of embedding rows in torch: for tables that FBGEMM's kernels train, and for states that were saved."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from recnas.candidates.embedding_optimizer import COUNTS, EXP_AVG, EXP_AVG_SQ, RATES_THEN, SUM
from recnas.nn.row_kernels import BETA_2

ROWS_AT_ONCE = 1 << 18
"""Of a whole table that is brought up to date: what is computed on the way takes several times its memory."""


def remainder(state: Mapping[str, Tensor], penalty: float, rates: float, eps: float) -> Tensor:
    """What is left by now of rows' weights as they were after their last updates; see `EmbeddingOptimizer`.

    Args:
        state: The rows' state by name: the second moments `[n, E]` or `[n]`, `rates_then [n]`, and Adam's counts `[n]`.
        penalty: λ.
        rates: The sum of all steps' learning rates.
        eps: Added to the root of second moments.

    Returns:
        Factors, `[n, E]`, or `[n, 1]` if there is a moment a row.
    """
    second = state[SUM] if SUM in state else state[EXP_AVG_SQ]
    second = second.unsqueeze(1) if second.ndim == 1 else second
    if COUNTS in state:
        second = second / (1 - BETA_2 ** state[COUNTS].double()).unsqueeze(1)
    amount = penalty * (rates - state[RATES_THEN]).unsqueeze(1)
    left = torch.exp(-amount / (second.sqrt() + eps))
    return torch.where(second > 0, left, 1.0).float()


def settle(weights: Tensor, state: Mapping[str, Tensor], penalty: float, rates: float, eps: float) -> None:
    """Brings all rows of a table up to date, in place.

    Args:
        weights: The rows as they were after their last updates, `[n, E]`.
        state: See `remainder`, as the rest.
        penalty: λ.
        rates: The sum of all steps' learning rates.
        eps: Added to the root of second moments.
    """
    for start in range(0, len(weights), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        weights[rows] *= remainder({name: values[rows] for name, values in state.items()}, penalty, rates, eps)


class DecayingRows(nn.Module):
    """FBGEMM's lookup and update, with the rows that are looked up brought up to date before.

    It stands in the place of FBGEMM's module, whose interface it has.

    Args:
        fused: FBGEMM's module of tables of one feature each.
        penalties: λ of each table.
        eps: The optimiser's eps.
        rates: The sum of all steps' learning rates, `[1]`, in double precision.
    """

    def __init__(self, fused: nn.Module, penalties: Sequence[float], eps: float, rates: Tensor) -> None:
        super().__init__()
        self.fused, self.penalties, self.eps, self.rates = fused, list(penalties), eps, rates
        self._tables = fused.split_embedding_weights()
        self._states = [
            state | {RATES_THEN: torch.zeros(len(table), dtype=torch.float64, device=table.device)}
            for state, table in zip(fused.get_optimizer_state(), self._tables, strict=True)
        ]

    def forward(self, indices: Tensor, offsets: Tensor, per_sample_weights: Tensor | None = None) -> Tensor:
        """Looks up and pools, as FBGEMM's module does."""
        bags = (len(offsets) - 1) // len(self._tables)
        if bags:
            bounds = offsets[::bags].tolist()
            for table, (first, stop) in enumerate(itertools.pairwise(bounds)):
                self._decay(table, indices[first:stop])
        return self.fused(indices=indices, offsets=offsets, per_sample_weights=per_sample_weights)

    @torch.no_grad()
    def _decay(self, table: int, rows: Tensor) -> None:
        """Brings rows up to date; each may be there several times, as all of them are given the same."""
        penalty, weights, state = self.penalties[table], self._tables[table], self._states[table]
        if penalty:
            some = {name: values[rows] for name, values in state.items() if name != EXP_AVG}
            weights[rows] = weights[rows] * remainder(some, penalty, self.rates.item(), self.eps)
            state[RATES_THEN][rows] = self.rates.to(weights.device)

    @torch.no_grad()
    def settle(self) -> None:
        """Brings all rows up to date."""
        for weights, state, penalty in zip(self._tables, self._states, self.penalties, strict=True):
            if penalty:
                settle(weights, state, penalty, self.rates.item(), self.eps)
                state[RATES_THEN].fill_(self.rates.item())

    def set_learning_rate(self, rate: float) -> None:
        """Sets the learning rate of updates whose lookup is still to come."""
        self.fused.set_learning_rate(rate)

    def get_learning_rate(self) -> float:
        return self.fused.get_learning_rate()

    def split_embedding_weights(self) -> list[Tensor]:
        """The tables' weights, sharing memory; of a row, those after its last lookup."""
        return self._tables

    def get_optimizer_state(self) -> list[dict[str, Tensor]]:
        """The optimiser's state of each table by name, sharing memory."""
        return self._states

    def flush(self) -> None:
        """The device has no cache of rows."""

    def reset_cache_states(self) -> None:
        """The device has no cache of rows."""
