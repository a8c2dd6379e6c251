"""What candidates are measured with: each part is made when a proxy first asks for it, and then is there for all."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Self

from recnas.features.schema import Schema
from recnas.nn.model import Supernet
from recnas.proxies.batches import ProxyBatches
from recnas.proxies.declaration import Proxy
from recnas.proxies.short_training import ShortTraining, drawing
from recnas.proxies.tuning import LastLayerTuning


class ScoringContext:
    """What proxies look at and train with; candidates share it.

    A proxy that asks for no supernet costs none: on a large log its tables are gigabytes.

    Args:
        schema: The features, with tables as large as the supernet's.
        dim: Columns of the embeddings.
        make_supernet: Gives the supernet whose weights candidates inherit.
        make_batches: Gives the rows that they are measured on, with the supernet's embeddings looked up.
        tuning: What one-shot search trains and judges them on; None where no proxy asks for it.
        training: What they are trained on from scratch for `short_training`; None where no proxy asks for it.
        precision: What passes are computed in whose gradients are looked at.
    """

    def __init__(
        self,
        schema: Schema,
        dim: int,
        make_supernet: Callable[[], Supernet],
        make_batches: Callable[[Supernet], ProxyBatches],
        tuning: LastLayerTuning | None = None,
        training: ShortTraining | None = None,
        precision: str = "fp32",
    ) -> None:
        self.precision = precision
        self.schema, self.dim, self.tuning, self.training = schema, dim, tuning, training
        self._make_supernet, self._make_batches = make_supernet, make_batches
        self._supernet: Supernet | None = None
        self._batches: ProxyBatches | None = None

    @classmethod
    def of(
        cls,
        supernet: Supernet,
        batches: ProxyBatches,
        tuning: LastLayerTuning | None = None,
        training: ShortTraining | None = None,
        precision: str = "fp32",
    ) -> Self:
        """Of parts that are there."""
        made = (lambda: supernet), (lambda _: batches)
        return cls(supernet.schema, supernet.embeddings.dim, *made, tuning, training, precision)

    @property
    def supernet(self) -> Supernet:
        """Holds the weights that candidates inherit."""
        # Candidates are scored in several threads.
        with drawing:
            if self._supernet is None:
                self._supernet = self._make_supernet()
            return self._supernet

    @property
    def batches(self) -> ProxyBatches:
        """Training rows that candidates are measured on."""
        with drawing:
            if self._batches is None:
                self._batches = self._make_batches(self.supernet)
            return self._batches

    def prepare(self, proxies: Iterable[Proxy]) -> None:
        """Makes now what proxies will ask for, so that it is not part of the first candidate's time."""
        declared = [proxy.declaration for proxy in proxies]
        if any(declaration.inherits for declaration in declared):
            _ = self.batches
        if self.training is not None and any(declaration.reads == "training" for declaration in declared):
            _ = self.training.shared
