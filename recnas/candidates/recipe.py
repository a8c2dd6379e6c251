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
from recnas.util.plain_values import from_plain, without_defaults
from recnas.util.setting import setting

ID_DIGITS = 8
MOST_COLUMNS = 1024
"""Of an embedding."""


OPTIMIZERS = ("adagrad", "adam", "adamw")
"""Optimisers of the dense part."""
SCHEDULES = ("cosine", "linear", "plateau", "constant")
"""Of the learning rate: after a rise a half cosine to 0, a line to 0, cuts when validation stalls, or as it is."""


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
    optimizer: str = setting("adagrad", help=f"optimiser of the dense part: {', '.join(OPTIMIZERS)}")
    eps: float | None = setting(None, help="the optimiser's eps for the dense part; none: 1e-2 of adagrad, else 1e-8")
    embedding_optimizer: str = setting(
        "rowwise-adagrad", help=f"fused optimiser of the embedding tables: {', '.join(NAMES)}"
    )
    embedding_rate: float = setting(1.0, help="the tables' learning rate, as a multiple of the dense part's")
    embedding_eps: float | None = setting(None, help="the optimiser's eps for the tables; none: likewise")
    embedding_beta1: float = setting(0.9, help="share of a row's first moment that an update of adam leaves; 0: none")
    embedding_penalty: float = setting(
        0.0, help="L2 penalty on the embeddings, which all rows feel at every step, not only those looked up"
    )
    cross_penalty: float | None = setting(None, help="the same for joint ids; none: as for the others")
    weight_decay: float = setting(
        0.0, help="L2 penalty on the dense part's weights; of adamw the share that a step takes of them"
    )
    schedule: str = setting("cosine", help=f"how the learning rate goes: {', '.join(SCHEDULES)}")
    lr_warmup_share: float = setting(0.1, help="share of the steps over which the learning rate rises")
    fan_in_scale: float | None = setting(
        None, help="inputs above which a layer's weight learns slower in proportion; none: all alike"
    )
    clip: float | None = setting(None, help="largest gradient norm of the dense part; none: no bound")

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if isinstance(value, float | int) and not math.isfinite(value):
                raise InputError(f"{name} is {value}; it must be a finite number")
            if name in _AT_LEAST_0:
                if value is not None and value < 0:
                    raise InputError(f"{name} is {value}; it cannot be negative")
            elif name in _NAMED:
                if value not in _NAMED[name]:
                    raise InputError(f"{name} is {value!r}; it is one of {', '.join(_NAMED[name])}")
            elif name == "fan_in_scale" and value is not None and not value >= 1:
                raise InputError(f"{name} is {value}; it must be 1 or more")
            elif value is not None and not value > 0:
                raise InputError(f"{name} is {value}; it must be above 0")
        for name in ("lr_warmup_share", "embedding_beta1"):
            if getattr(self, name) >= 1:
                raise InputError(f"{name} is {getattr(self, name)}; it must be below 1")

    @property
    def of_tables(self) -> EmbeddingOptimizer:
        """The tables' fused optimiser."""
        name = self.embedding_optimizer
        eps = _usual_eps(name) if self.embedding_eps is None else self.embedding_eps
        return EmbeddingOptimizer(name, eps, self.embedding_penalty, self.cross_penalty, self.embedding_beta1)

    @property
    def dense_eps(self) -> float:
        """The optimiser's eps for the dense part."""
        return _usual_eps(self.optimizer) if self.eps is None else self.eps

    def width_factor(self, columns: int) -> float:
        """What the learning rate of a weight is multiplied by when each output sums so many inputs with it."""
        return 1.0 if self.fan_in_scale is None else min(1.0, self.fan_in_scale / columns)


def _usual_eps(optimizer: str) -> float:
    return 1e-2 if optimizer.endswith("adagrad") else 1e-8


_ALWAYS_TOLD = (
    "learning_rate", "batch_size", "embedding_optimizer", "embedding_rate", "weight_decay", "fan_in_scale", "clip",
)  # fmt: skip
_AT_LEAST_0 = ("weight_decay", "embedding_beta1", "embedding_penalty", "cross_penalty", "lr_warmup_share")
_NAMED = {"optimizer": OPTIMIZERS, "embedding_optimizer": NAMES, "schedule": SCHEDULES}


@dataclass(frozen=True)
class Recipe:
    """How a candidate is trained.

    The model is measured on validation at the end of each pass and, with `evaluations` above 1, as often within it; the
    weights of the best measurement are kept.

    Attributes:
        optimization: How its weights are learned.
        epochs: Passes over the training rows, at most.
        evaluations: Measurements a pass.
        patience: Measurements in succession that may be no better than the best before the training ends; None: all
            passes are made.
        dropout: Share of a layer's outputs that are left out at a step; None: the network's own.
        embedding_dim: Columns of the embeddings, a multiple of four.
        embedding_std: Standard deviation of embeddings at the start; None: Xavier's (Glorot and Bengio 2010).
        seed: Which of many alike trainings it is: of first weights, the order of rows, and what dropout leaves out. 0
            is the run's own.
        soft_labels: Share of the labels that is what the run's ensemble predicts of the training rows, from 0 to 1
            (Hinton et al. 2015); the rest is what happened. Outside its run a model is trained further without.

    Raises:
        InputError: A value is out of its range.
    """

    optimization: Optimization
    epochs: int = 1
    evaluations: int = 1
    patience: int | None = None
    dropout: float | None = None
    embedding_dim: int = 16
    embedding_std: float | None = None
    seed: int = 0
    soft_labels: float = 0.0

    def __post_init__(self) -> None:
        for name in ("epochs", "evaluations", "patience"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise InputError(f"{name} is {value}; it must be 1 or more")
        if self.seed < 0:
            raise InputError(f"seed is {self.seed}; it must be 0 or more")
        if not 0 <= self.soft_labels <= 1:
            raise InputError(f"soft_labels is {self.soft_labels}; it must be from 0 to 1")
        if self.dropout is not None and not 0 <= self.dropout < 1:
            raise InputError(f"dropout is {self.dropout}; it must be from 0 to below 1")
        if not 4 <= self.embedding_dim <= MOST_COLUMNS or self.embedding_dim % 4:
            raise InputError(
                f"embedding_dim is {self.embedding_dim}; it must be a multiple of 4 from 4 to {MOST_COLUMNS}"
            )
        if self.embedding_std is not None and not 0 < self.embedding_std < math.inf:
            raise InputError(f"embedding_std is {self.embedding_std}; it must be above 0")

    @cached_property
    def id(self) -> str:
        """Eight hexadecimal digits that name it."""
        # As it is read again: 1 and 1.0 are one learning rate.
        read = Recipe.from_json(self.to_json())
        optimization = read.optimization
        values = read.to_json() | {"epochs": read.epochs}
        # The settings of recnas 0.2 are always told, others where they are not as by default: ids stay what they were.
        values["optimization"] |= {name: getattr(optimization, name) for name in _ALWAYS_TOLD}
        values["optimization"] |= {"eps": optimization.dense_eps, "embedding_eps": optimization.of_tables.eps}
        text = json.dumps(values, separators=(",", ":"), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:ID_DIGITS]

    def measured_after(self, pass_rows: int) -> list[int]:
        """Training rows after which the model is measured, in whole batches of a pass: those of a whole training.

        Args:
            pass_rows: Training rows in a pass.
        """
        steps = math.ceil(pass_rows / self.optimization.batch_size)
        within = [math.ceil(steps * place / self.evaluations) for place in range(1, self.evaluations + 1)]
        # Of a few batches, several places may be the same.
        ends = [min(step * self.optimization.batch_size, pass_rows) for step in dict.fromkeys(within)]
        return [passes * pass_rows + end for passes in range(self.epochs) for end in ends]

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
        """Plain values; what is as by default is left out, so that settings which come later change no recipe's id."""
        optimization = without_defaults(self.optimization)
        return without_defaults(self) | {"optimization": optimization}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Recipe:
        """Reads what `to_json` wrote.

        Raises:
            InputError: A value is missing, unknown or out of its range.
        """
        return from_plain(cls, values, "recipe")
