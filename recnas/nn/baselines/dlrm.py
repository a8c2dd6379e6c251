"""DLRM (Naumov et al. 2019): MLPs below and above the products of all pairs of fields."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torchrec.models.dlrm import DenseArch, InteractionArch, OverArch

from recnas.nn.baselines.layers import products
from recnas.nn.baselines.registry import baseline

BOTTOM_LAYERS = (512, 256, 64)
TOP_LAYERS = (512, 256)
"""Hidden layers of the settings published for Criteo Kaggle."""


def macs(num_dense: int, num_sparse: int, dim: int) -> int:
    """Multiply–accumulates a row of the published network; arguments as in `DLRM`.

    The interaction computes the products of all pairs of vectors in both orders, and keeps half of them.
    """
    vectors = num_sparse + 1
    bottom = (max(1, num_dense), *BOTTOM_LAYERS, dim)
    top = (dim + vectors * num_sparse // 2, *TOP_LAYERS, 1)
    return products(bottom) + products(top) + vectors**2 * dim


@baseline("dlrm", macs=macs)
class DLRM(nn.Module):
    """A bottom MLP over dense features, products of all pairs of fields, a top MLP to the logit; parts by TorchRec.

    Args:
        num_dense: d₀; 0 where a data set has no dense feature, and the bottom MLP reads the constant in their place.
        num_sparse: Number of sparse features, n₀.
        dim: Columns of an embedding, E.
        bottom: Hidden layers of the bottom MLP, which ends in E columns.
        top: Hidden layers of the top MLP, which ends in the logit.

    Example:
        >>> DLRM(13, 26, 16)(torch.randn(4, 13), torch.randn(4, 26, 16)).shape
        torch.Size([4])
    """

    def __init__(
        self,
        num_dense: int,
        num_sparse: int,
        dim: int,
        bottom: Sequence[int] = BOTTOM_LAYERS,
        top: Sequence[int] = TOP_LAYERS,
    ) -> None:
        super().__init__()
        self.bottom = DenseArch(max(1, num_dense), [*bottom, dim])
        self.interaction = InteractionArch(num_sparse)
        self.top = OverArch(dim + (num_sparse + 1) * num_sparse // 2, [*top, 1])

    def forward(self, dense: Tensor, fields: Tensor) -> Tensor:
        """Dense features `[B, d₀]` and embedded fields `[B, n₀, E]` → logits `[B]`."""
        return self.top(self.interaction(self.bottom(dense), fields)).squeeze(-1)
