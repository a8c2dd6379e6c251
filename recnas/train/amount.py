"""How much of the training rows a warm-up sees; needs no torch."""

from __future__ import annotations

from dataclasses import dataclass

from recnas.util.errors import InputError


@dataclass(frozen=True)
class Amount:
    """How much of the training rows a warm-up sees: a fraction of them up to 1, a number of epochs above.

    Raises:
        InputError: Negative, or above 1 and not a whole number.
    """

    value: float

    def __post_init__(self) -> None:
        if not 0 <= self.value < float("inf"):
            raise InputError(f"--warmup {self.value:g}: give a share of the training rows, or a number of epochs")
        if self.value > 1 and self.value != int(self.value):
            raise InputError(f"--warmup {self.value:g}: above 1 it is a number of epochs, which must be whole")

    @property
    def epochs(self) -> int:
        return max(1, int(self.value))

    def rows(self, available: int) -> int:
        """Distinct rows seen, of `available`."""
        return round(min(1.0, self.value) * available)
