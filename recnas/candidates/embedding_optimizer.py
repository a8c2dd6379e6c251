"""How embedding tables learn, as a plain value; reading it needs no torch."""

from __future__ import annotations

from dataclasses import dataclass

from recnas.util.errors import InputError

NAMES = ("rowwise-adagrad", "adagrad")
"""Fused optimisers for the tables: one running sum a row, or one an element."""


@dataclass(frozen=True)
class EmbeddingOptimizer:
    """How the tables learn.

    Raises:
        InputError: No such optimiser.
    """

    name: str = "rowwise-adagrad"
    eps: float = 1e-8

    def __post_init__(self) -> None:
        if self.name not in NAMES:
            raise InputError(f"no embedding optimiser is named {self.name!r}; known are {', '.join(NAMES)}")
