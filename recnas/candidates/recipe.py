"""Settings of training, as plain values; reading them needs no torch."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

from recnas.candidates.embedding_optimizer import EmbeddingOptimizer
from recnas.util.errors import InputError


@dataclass(frozen=True)
class Optimization:
    """How weights are learned; the defaults are NASRec's (Zhang et al. 2023), but for the row-wise sums of the tables.

    Attributes:
        learning_rate: Peak of the schedule for the dense part.
        batch_size: Rows a step.
        eps: Adagrad's, for the dense part.
        embedding_optimizer: `rowwise-adagrad` or `adagrad`.
        embedding_rate: The tables' learning rate as a multiple of the dense part's.
        embedding_eps: Adagrad's, for the tables.
        weight_decay: L2 penalty on the dense part's weights.
        fan_in_scale: If set, the weight of a linear layer that sums more inputs (of one source) than this learns slower
            by their ratio. Adagrad moves every element alike, so a wide layer's outputs move the more the more inputs
            it has (the learning rates of Yang et al. 2022, "Tensor Programs V", table 8). None: all alike, as NASRec.
        clip: If set, the dense part's gradient is scaled down to this norm when it is longer, and the gradient at the
            embedded fields to a sixth of it.

    Raises:
        InputError: A value is out of its range.
    """

    learning_rate: float
    batch_size: int
    eps: float = 1e-2
    embedding_optimizer: str = "rowwise-adagrad"
    embedding_rate: float = 1.0
    embedding_eps: float = 1e-2
    weight_decay: float = 0.0
    fan_in_scale: float | None = None
    clip: float | None = None

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if isinstance(value, float | int) and not math.isfinite(value):
                raise InputError(f"{name} is {value}; it must be a finite number")
            if name == "weight_decay":
                if value < 0:
                    raise InputError(f"{name} is {value}; it cannot be negative")
            elif name == "embedding_optimizer":
                EmbeddingOptimizer(value)
            elif name == "fan_in_scale" and value is not None and not value >= 1:
                raise InputError(f"{name} is {value}; it must be 1 or more")
            elif value is not None and not value > 0:
                raise InputError(f"{name} is {value}; it must be above 0")

    @property
    def of_tables(self) -> EmbeddingOptimizer:
        """The tables' fused optimiser."""
        return EmbeddingOptimizer(self.embedding_optimizer, self.embedding_eps)

    def width_factor(self, columns: int) -> float:
        """What the learning rate of a weight is multiplied by when each output sums so many inputs with it."""
        return 1.0 if self.fan_in_scale is None else min(1.0, self.fan_in_scale / columns)
