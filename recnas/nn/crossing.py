"""How a cross layer joins what its linear layers give: the formulas that baselines and branches beside blocks share.

Sizes: B rows, C columns. x₀ is what the layers multiply by, x_l a layer's input, both `[B, C]`.
"""

from __future__ import annotations

import torch
from torch import Tensor


def gated_cross(base: Tensor, x: Tensor, crossed: Tensor, gate: Tensor) -> Tensor:
    """x₀ ∘ c ∘ sigmoid(g) + x_l (GDCN, Wang et al. 2023).

    Args:
        base: x₀.
        x: x_l.
        crossed: c = W x_l + b, `[B, C]`.
        gate: g = W_g x_l, `[B, C]`.
    """
    return torch.addcmul(x, base * crossed, torch.sigmoid(gate))


def masked_cross(base: Tensor, x: Tensor, h: Tensor, mask: Tensor, bias: Tensor) -> Tensor:
    """x ∘ ([h ; h ∘ m] + b) + x_l (FCN, Li et al. 2024).

    Args:
        base: What is multiplied by: x_l itself where degrees grow exponentially, x₀ where they grow linearly.
        x: x_l.
        h: W x_l, `[B, ⌈C / 2⌉]`.
        mask: m = ReLU(norm(h)), of the same shape.
        bias: b, `[C]` or `[B, C]`.
    """
    crossed = torch.cat([h, h * mask], dim=1)[:, : x.shape[1]]
    return torch.addcmul(x, base, crossed + bias)


def in_halves(fields: Tensor) -> Tensor:
    """Fields `[B, m, E]` → `[B, m · E]`: first halves, then second ones.

    `masked_cross` treats the first and the second half of columns differently, and each field has a share of both.
    """
    return torch.cat([half.flatten(1) for half in fields.tensor_split(2, dim=2)], dim=1)


def quadratic(x: Tensor, factors: Tensor) -> Tensor:
    """x_l + Σ_r x_l ∘ f_r (QNN-α, Li et al. 2025).

    Args:
        x: x_l.
        factors: f_r = ReLU(norm(W_r x_l + b_r)) of R factors side by side, `[B, R · C]`.
    """
    return torch.addcmul(x, x, factors.unflatten(1, (-1, x.shape[1])).sum(1))
