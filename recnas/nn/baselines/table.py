"""All hand-made models in one table: what each needs, what it costs, and how it is made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from recnas.features.schema import Schema
from recnas.nn.baselines import TITLES, autoint, dcnv2, deepfm, dlrm, finalmlp, lr, xdeepfm
from recnas.nn.network import EMBEDDING_DIM


@dataclass(frozen=True)
class Baseline:
    """A hand-made model with its paper's settings.

    Attributes:
        make: The network with fresh weights, from the numbers of dense and sparse features and E.
        count: Multiply–accumulates a row of its matrix products, from the same.
        vectors: Whether it reads embeddings.
        first_order: Whether it reads a first-order weight of each table row.
    """

    make: Callable[[int, int, int], nn.Module]
    count: Callable[[int, int, int], int]
    vectors: bool = True
    first_order: bool = False

    @property
    def dim(self) -> int:
        """Columns of the embeddings that it reads."""
        return EMBEDDING_DIM if self.vectors else 0

    def network(self, schema: Schema, dim: int | None = None) -> nn.Module:
        """Its dense part, with fresh weights: dense features `[B, d₀]` and fields, as `Embeddings` says → `[B]`.

        Args:
            schema: The features.
            dim: Columns of the embeddings; None for `self.dim`.
        """
        return self.make(len(schema.dense), schema.num_sparse, self.dim if dim is None else dim)

    def macs(self, schema: Schema, dim: int | None = None) -> int:
        """Multiply–accumulates a row of its dense part, elementwise work left out; arguments as in `network`."""
        return self.count(len(schema.dense), schema.num_sparse, self.dim if dim is None else dim)


BASELINES: dict[str, Baseline] = {
    "lr": Baseline(lr.LogisticRegression, lr.macs, vectors=False, first_order=True),
    "dlrm": Baseline(dlrm.DLRM, dlrm.macs),
    "deepfm": Baseline(deepfm.DeepFM, deepfm.macs, first_order=True),
    "xdeepfm": Baseline(xdeepfm.XDeepFM, xdeepfm.macs, first_order=True),
    "autoint+": Baseline(autoint.AutoIntPlus, autoint.macs),
    "dcnv2": Baseline(dcnv2.DCNV2, dcnv2.macs),
    "finalmlp": Baseline(finalmlp.FinalMLP, finalmlp.macs),
}
"""The models, by the names of `TITLES`."""

assert BASELINES.keys() == TITLES.keys()
