"""Proxies that are functions of a candidate's gradient statistics.

θ are the weights that the candidate inherits, gₙ their gradient on batch n of N, ḡ the mean of the gₙ, μ and σ the mean
of |gₙ| and the standard deviation of gₙ over the batches, element by element; m runs over modules, j over elements.
Embedding tables are modules too, with the rows that the batches look up. So are norms, and biases count with their
layer: the public code of most of these proxies takes the matrices of linear layers and convolutions only.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from recnas.proxies.declaration import proxy
from recnas.proxies.inputs import ProxyInputs


# First: alone it needs no gradients, and a study is to tell what it takes alone.
@proxy(direction="lower", weights="warm", reads="losses")
def loss(inputs: ProxyInputs) -> float:
    """ℓ, the mean loss on the batches; lower is better."""
    return total(inputs.losses) / len(inputs.losses)


@proxy(direction="higher", weights="warm", reads="gradients")
def zico(inputs: ProxyInputs) -> float:
    """ZiCo (Li et al. 2023): Σₘ log ‖ μ⁽ᵐ⁾ ⊘ σ⁽ᵐ⁾ ‖₁. A module whose gradient never varies adds nothing."""
    return total(math.log(module.ratio) for module in inputs.gradients.modules if module.ratio != 0)


@proxy(direction="higher", weights="warm", reads="gradients")
def zico_mean(inputs: ProxyInputs) -> float:
    """ZiCo's mean over modules in the place of the sum, so that the number of layers does not count."""
    return zico(inputs) / len(inputs.gradients.modules)


@proxy(direction="higher", weights="warm", reads="gradients")
def fr(inputs: ProxyInputs) -> float:
    """Log of the Fisher–Rao norm with the empirical Fisher: log ((1/N) Σₙ (θᵀgₙ)²)^½ (Liang et al. 2019; SiGeo)."""
    squares = [projection * projection for projection in inputs.gradients.projections]
    return _log(total(squares) / len(squares)) / 2


@proxy(direction="higher", weights="warm", reads="gradients")
def mean_abs_gradient(inputs: ProxyInputs) -> float:
    """Σⱼ μⱼ, the L1 norm of the mean absolute gradient (Zheng et al. 2024, theorem 2)."""
    return total(module.magnitude for module in inputs.gradients.modules)


@proxy(direction="higher", weights="warm", reads="gradients")
def gradient_std(inputs: ProxyInputs) -> float:
    """Σⱼ σⱼ (Zheng et al. 2024, section 3)."""
    return total(module.deviation for module in inputs.gradients.modules)


@proxy(direction="higher", weights="warm", reads="gradients")
def l2_norm(inputs: ProxyInputs) -> float:
    """Σₘ ‖θ⁽ᵐ⁾‖₂ (Abdelfattah et al. 2021)."""
    return total(math.sqrt(module.weight_square) for module in inputs.gradients.modules)


@proxy(direction="higher", weights="warm", reads="gradients")
def plain(inputs: ProxyInputs) -> float:
    """θᵀḡ (Abdelfattah et al. 2021)."""
    return total(inputs.gradients.projections) / len(inputs.gradients.projections)


@proxy(direction="higher", weights="warm", reads="gradients")
def grad_norm(inputs: ProxyInputs) -> float:
    """Σₘ ‖ḡ⁽ᵐ⁾‖₂ (Abdelfattah et al. 2021)."""
    return total(math.sqrt(module.gradient_square) for module in inputs.gradients.modules)


@proxy(direction="higher", weights="warm", reads="gradients")
def snip(inputs: ProxyInputs) -> float:
    """Σⱼ |θⱼ ḡⱼ| (Lee et al. 2019; as a score, Abdelfattah et al. 2021)."""
    return total(module.saliency for module in inputs.gradients.modules)


def total(values: Iterable[float]) -> float:
    """The exact sum; NaN where infinities of both signs, or numbers too large, leave none."""
    try:
        return math.fsum(values)
    except (OverflowError, ValueError):
        return math.nan


def _log(value: float) -> float:
    return math.log(value) if value > 0 else -math.inf if value == 0 else math.nan
