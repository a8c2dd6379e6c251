"""Proxies that look at single rows: how the logit depends on each, and which ReLUs each opens."""

from __future__ import annotations

import torch
from torch import Tensor

from recnas.proxies.declaration import proxy
from recnas.proxies.inputs import ProxyInputs

SMALLEST = 1e-5
"""Added to what a logarithm is taken of, as in the published code."""


@proxy(direction="higher", weights="fresh", reads="rows")
def jacov(inputs: ProxyInputs) -> float:
    """-Σᵢ (log(λᵢ + k) + 1 / (λᵢ + k)), λ the eigenvalues of the correlations between rows' Jacobians (Mellor et al.
    2020, version 1)."""
    eigenvalues = torch.linalg.eigvalsh(_correlations(inputs.rows.jacobian)) + SMALLEST
    return -(eigenvalues.log() + 1 / eigenvalues).sum().item()


@proxy(direction="higher", weights="fresh", reads="rows")
def naswot(inputs: ProxyInputs) -> float:
    """NASWOT (Mellor et al. 2021): log |det K|, Kᵢⱼ the number of ReLUs that rows i and j agree on."""
    codes = inputs.rows.codes
    agreement = codes @ codes.T + (1 - codes) @ (1 - codes).T
    return torch.linalg.slogdet(agreement).logabsdet.item()


@proxy(direction="higher", weights="fresh", reads="rows")
def epe_nas(inputs: ProxyInputs) -> float:
    """EPE-NAS (Lopes et al. 2021): Σ over classes of |Σᵢⱼ log(|ρᵢⱼ| + k)|, ρ the correlations between the Jacobians of
    a class's rows."""
    rows, total = inputs.rows, 0.0
    for label in rows.label.unique():
        correlations = _correlations(rows.jacobian[rows.label == label])
        total += abs((correlations.abs() + SMALLEST).log().sum().item())
    return total


def _correlations(rows: Tensor) -> Tensor:
    """Pearson's correlations between rows `[n, inputs]`: `[n, n]`; 0 with a row that is constant."""
    centred = rows - rows.mean(1, keepdim=True)
    norm = centred.norm(dim=1, keepdim=True)
    scaled = torch.where(norm > 0, centred / norm, 0)
    return scaled @ scaled.T
