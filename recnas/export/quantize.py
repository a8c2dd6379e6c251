"""Embedding tables as 8-bit numbers: each row as int8 and one float16 scale, 18 bytes where 16 columns took 64."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

LARGEST = 127


@dataclass(frozen=True)
class RoundedTable:
    """A table `[rows, E]` whose entry (r, c) is `numbers[r, c] · scales[r]`.

    Attributes:
        numbers: The rounded weights, `[rows, E]` int8, from -127 to 127.
        scales: The factor of each row, `[rows]` float16.
    """

    numbers: Tensor
    scales: Tensor

    @classmethod
    def of(cls, table: Tensor) -> RoundedTable:
        """Rounds a table: the largest entry of a row, by size, becomes 127 or -127."""
        scales = (table.abs().amax(dim=1) / LARGEST).half()
        # A row too small for a scale becomes zeros.
        steps = scales.float().masked_fill(scales == 0, torch.inf).unsqueeze(1)
        return cls((table / steps).round().clamp(-LARGEST, LARGEST).to(torch.int8), scales)

    def table(self) -> Tensor:
        """The table as it is computed with, float32 `[rows, E]`."""
        return self.numbers.float() * self.scales.float().unsqueeze(1)


def rounded(tables: Mapping[str, Tensor]) -> dict[str, RoundedTable]:
    """Rounds every table."""
    return {name: RoundedTable.of(table) for name, table in tables.items()}
