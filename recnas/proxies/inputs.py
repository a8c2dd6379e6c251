"""What proxies are given of a candidate: measured when one of them first asks for it, and once."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from recnas.features.schema import Schema
from recnas.nn.model import Supernet
from recnas.proxies.batches import ProxyBatches
from recnas.proxies.context import ScoringContext
from recnas.proxies.row_statistics import RowStatistics, look_at_rows
from recnas.proxies.short_training import ShortTraining
from recnas.proxies.statistics import GradientStatistics, collect, look_at_losses
from recnas.proxies.tuning import LastLayerTuning
from recnas.space import Architecture


@dataclass(frozen=True)
class Measurement:
    """What a proxy gave, and how long that took.

    Attributes:
        value: The proxy's.
        seconds: What it would have taken alone: the time of statistics that it shares with other proxies included.
    """

    value: float
    seconds: float


class ProxyInputs:
    """An architecture with the weights that it inherits, and the rows to measure it on. No proxy changes a weight.

    Args:
        context: What candidates are measured with.
        arch: The candidate's architecture.
    """

    def __init__(self, context: ScoringContext, arch: Architecture) -> None:
        self.context, self.arch = context, arch
        self._shared: dict[Callable[..., Any], tuple[Any, float]] = {}
        self._asked: set[Callable[..., Any]] = set()

    @property
    def schema(self) -> Schema:
        """The features that the candidate reads."""
        return self.context.schema

    @property
    def dim(self) -> int:
        """Columns of the embeddings that the candidate reads."""
        return self.context.dim

    @property
    def supernet(self) -> Supernet:
        """The network whose weights the candidate inherits."""
        return self.context.supernet

    @property
    def batches(self) -> ProxyBatches:
        """Training rows to measure the candidate on."""
        return self.context.batches

    @property
    def tuning(self) -> LastLayerTuning | None:
        """What one-shot search trains and judges the candidate on."""
        return self.context.tuning

    @property
    def training(self) -> ShortTraining | None:
        """What the candidate is trained on from scratch for `short_training`."""
        return self.context.training

    @property
    def gradients(self) -> GradientStatistics:
        """Statistics of the gradients of the loss on every batch."""
        return self._share(collect, self.context.precision)

    @property
    def losses(self) -> tuple[float, ...]:
        """The loss on every batch; where gradients have been measured, they have told it already."""
        return self.gradients.losses if collect in self._shared else self._share(look_at_losses, self.context.precision)

    @property
    def rows(self) -> RowStatistics:
        """How the candidate's logit depends on each of some rows."""
        return self._share(look_at_rows)

    def measure(self, proxy: Callable[[ProxyInputs], float]) -> Measurement:
        """Computes a proxy."""
        self._asked, before = set(), dict(self._shared)
        start = time.perf_counter()
        value = proxy(self)
        seconds = time.perf_counter() - start
        seconds += sum(before[statistics][1] for statistics in self._asked if statistics in before)
        return Measurement(value, seconds)

    def _share(self, statistics: Callable[..., Any], *further: Any) -> Any:
        self._asked.add(statistics)
        if statistics not in self._shared:
            start = time.perf_counter()
            value = statistics(self.supernet, self.arch, self.batches, *further)
            self._shared[statistics] = value, time.perf_counter() - start
        return self._shared[statistics][0]
