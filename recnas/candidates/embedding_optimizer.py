"""How embedding tables learn, as a plain value; reading it needs no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass

from recnas.util.errors import InputError

NAMES = ("rowwise-adagrad", "adagrad", "adam", "rowwise-adam")
"""Optimisers of the tables: with a second moment of each row, or of each element."""
SUM, EXP_AVG, EXP_AVG_SQ, COUNTS, RATES_THEN = "sum", "exp_avg", "exp_avg_sq", "row_counter", "rates_then"
"""What they keep: Adagrad's second moments; Adam's first and second moments and the number of each row's updates, by
torch's and FBGEMM's names; and with a penalty the sum of all steps' learning rates up to each row's last update."""


@dataclass(frozen=True)
class EmbeddingOptimizer:
    """How the tables learn.

    Both Adams (Kingma & Ba 2015) are lazy: the moments of a row change, and its bias corrections count, when the row is
    looked up. The row-wise one has a second moment of each row, of the mean over its elements.

    The penalty is exact where a table would be too large to be gone through at each step: *every* row decays at every
    step, by w ← w · exp(-η · λ / (√v + eps)) after the step's update, with the learning rate η and the bias-corrected
    second moment v (Adagrad: sum) of the row's last update. That is the optimiser's own descent on λ/2 · |w|², whose
    gradient leaves the moments alone, so that λ has the unit of an L2 penalty in the loss. What has never had a
    gradient does not decay.

    Attributes:
        name: One of `NAMES`.
        eps: Added to the root of a second moment.
        penalty: λ.
        cross_penalty: λ of the tables of joint ids; None: as the others'.
        beta1: The share of a first moment that an update of Adam leaves; 0: there are no first moments.

    Raises:
        InputError: No such optimiser, or a number is out of its range.
    """

    name: str = "rowwise-adagrad"
    eps: float = 1e-8
    penalty: float = 0.0
    cross_penalty: float | None = None
    beta1: float = 0.9

    def __post_init__(self) -> None:
        if self.name not in NAMES:
            raise InputError(f"no embedding optimiser is named {self.name!r}; known are {', '.join(NAMES)}")
        for name, value in (("penalty", self.penalty), ("cross_penalty", self.cross_penalty)):
            if value is not None and not 0 <= value < math.inf:
                raise InputError(f"the embeddings' {name} is {value}; it must be a number from 0 on")
        if not 0 <= self.beta1 < 1:
            raise InputError(f"the embeddings' beta1 is {self.beta1}; it must be from 0 to below 1")

    def penalty_of(self, joint: bool) -> float:
        """λ of a table, of joint ids or not."""
        return self.cross_penalty if joint and self.cross_penalty is not None else self.penalty

    @property
    def decays(self) -> bool:
        """Whether there may be tables with a penalty."""
        return bool(self.penalty or self.cross_penalty)

    @property
    def elementwise(self) -> bool:
        """Whether each element has a second moment of its own."""
        return self.name in ("adagrad", "adam")

    @property
    def is_adam(self) -> bool:
        """Whether second moments are averages, else sums."""
        return self.name.endswith("adam")

    @property
    def has_momentum(self) -> bool:
        """Whether there are first moments."""
        return self.is_adam and self.beta1 > 0

    @property
    def has_row_state(self) -> bool:
        """Whether something is kept of each row as a whole, so that parts of rows cannot learn by themselves."""
        return self.name != "adagrad" or self.decays

    @property
    def second_moment(self) -> str:
        """The name of the second moments."""
        return EXP_AVG_SQ if self.is_adam else SUM

    @property
    def state_names(self) -> tuple[str, ...]:
        """What is kept of a table beside its weights."""
        first = (EXP_AVG,) if self.has_momentum else ()
        counts = (COUNTS,) if self.is_adam else ()
        return (*first, self.second_moment, *counts, *((RATES_THEN,) if self.decays else ()))

    def state_per_row(self, dim: int) -> int:
        """How many times the bytes of a weight are kept of a row of `dim` weights, beside them."""
        sizes = {EXP_AVG: dim, self.second_moment: dim if self.elementwise else 1, COUNTS: 1, RATES_THEN: 2}
        return sum(sizes[name] for name in self.state_names)
