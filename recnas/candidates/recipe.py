"""How a candidate is trained, as a value; needs no torch."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from recnas.candidates.embedding_optimizer import NAMES, EmbeddingOptimizer
from recnas.util.errors import InputError
from recnas.util.plain_values import from_plain
from recnas.util.setting import setting

ID_DIGITS = 8


@dataclass(frozen=True)
class Optimization:
    """How weights are learned; the defaults are NASRec's (Zhang et al. 2023), but for the row-wise sums of the tables.

    Adagrad moves every element alike, so a wide layer's outputs move the more the more inputs it has (the learning
    rates of Yang et al. 2022, "Tensor Programs V", table 8); `fan_in_scale` counters that, and NASRec has none. The
    gradient at the embedded fields is held to a sixth of `clip`.

    Raises:
        InputError: A value is out of its range.
    """

    learning_rate: float = setting(help="peak learning rate of the dense part")
    batch_size: int = setting(help="rows a step")
    eps: float = setting(1e-2, help="Adagrad's eps for the dense part")
    embedding_optimizer: str = setting(
        "rowwise-adagrad", help=f"fused optimiser of the embedding tables: {' or '.join(NAMES)}"
    )
    embedding_rate: float = setting(1.0, help="the tables' learning rate, as a multiple of the dense part's")
    embedding_eps: float = setting(1e-2, help="Adagrad's eps for the tables")
    weight_decay: float = setting(0.0, help="L2 penalty on the dense part's weights")
    fan_in_scale: float | None = setting(
        None, help="inputs above which a layer's weight learns slower in proportion; none: all alike"
    )
    clip: float | None = setting(None, help="largest gradient norm of the dense part; none: no bound")

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


@dataclass(frozen=True)
class Recipe:
    """How a candidate is trained.

    Attributes:
        optimization: How its weights are learned.
        epochs: Passes over the training rows.
    """

    optimization: Optimization
    epochs: int = 1

    @cached_property
    def id(self) -> str:
        """Eight hexadecimal digits that name it."""
        # As it is read again: 1 and 1.0 are one learning rate.
        text = json.dumps(Recipe.from_json(self.to_json()).to_json(), separators=(",", ":"), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:ID_DIGITS]

    def in_whole_batches(self, rows: int, pass_rows: int) -> int:
        """Training rows that have been seen when a training stops after so many, rounded up to whole batches of a pass.

        Args:
            rows: After which it is to stop.
            pass_rows: Training rows in a pass.
        """
        batch_size = self.optimization.batch_size
        passes, rest = divmod(rows, pass_rows)
        return passes * pass_rows + min(math.ceil(rest / batch_size) * batch_size, pass_rows)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Recipe:
        """Reads what `to_json` wrote.

        Raises:
            InputError: A value is missing, unknown or out of its range.
        """
        return from_plain(cls, values, "recipe")
