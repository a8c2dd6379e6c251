"""Proxies of gradient statistics, each computed anew from plain autograd over whole parameters and whole tables."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import numpy as np
import pytest

from recnas.proxies import gradients as proxies
from recnas.proxies.statistics import GradientStatistics, ModuleStatistics
from recnas.space import SPACES


def by_element(plain) -> tuple[np.ndarray, np.ndarray]:
    """θ `[n]` and the batches' gradients `[N, n]`, of all modules side by side."""
    weights = np.concatenate([module.weights.numpy() for module in plain.modules])
    return weights, np.concatenate([module.gradients.numpy() for module in plain.modules], axis=1)


def zico_of_modules(plain) -> list[float]:
    terms = []
    for module in plain.modules:
        gradients = module.gradients.numpy()
        mean, deviation = np.abs(gradients).mean(0), gradients.std(0, ddof=1)
        if (deviation > 0).any():
            terms.append(math.log((mean[deviation > 0] / deviation[deviation > 0]).sum()))
    return terms


def zico(plain) -> float:
    return sum(zico_of_modules(plain))


def zico_mean(plain) -> float:
    return sum(zico_of_modules(plain)) / len(plain.modules)


def fr(plain) -> float:
    weights, gradients = by_element(plain)
    return math.log(np.sqrt(((gradients @ weights) ** 2).mean()))


def loss(plain) -> float:
    return np.mean(plain.losses).item()


def mean_abs_gradient(plain) -> float:
    return np.abs(by_element(plain)[1]).mean(0).sum().item()


def gradient_std(plain) -> float:
    return by_element(plain)[1].std(0, ddof=1).sum().item()


def l2_norm(plain) -> float:
    return sum(np.linalg.norm(module.weights.numpy()).item() for module in plain.modules)


def plain(plain) -> float:
    weights, gradients = by_element(plain)
    return (weights @ gradients.mean(0)).item()


def grad_norm(plain) -> float:
    return sum(np.linalg.norm(module.gradients.numpy().mean(0)).item() for module in plain.modules)


def snip(plain) -> float:
    weights, gradients = by_element(plain)
    return np.abs(weights * gradients.mean(0)).sum().item()


INDEPENDENT: list[Callable[..., float]] = [
    zico,
    zico_mean,
    fr,
    loss,
    mean_abs_gradient,
    gradient_std,
    l2_norm,
    plain,
    grad_norm,
    snip,
]


@pytest.mark.parametrize("space", SPACES)
def test_every_proxy_equals_its_formula_over_whole_parameters_and_tables(space: str, make_case) -> None:
    case, rng = make_case(space), random.Random(5)
    for _ in range(8):
        arch = case.supernet.network.space.sample(rng)
        candidate, measured = case.candidate(arch), case.plain(arch)
        for expected in INDEPENDENT:
            found = getattr(proxies, expected.__name__)(candidate)
            assert found == pytest.approx(expected(measured), rel=1e-6, abs=1e-10), expected.__name__


class Measured:
    """A candidate with given statistics."""

    def __init__(self, modules: list[ModuleStatistics], projections: tuple[float, ...]) -> None:
        self.gradients = GradientStatistics(tuple(modules), projections, (0.5, 0.7))


def module(ratio: float) -> ModuleStatistics:
    return ModuleStatistics(ratio, 1.0, 1.0, 1.0, 1.0, 1.0)


def test_a_module_whose_gradient_never_varies_adds_nothing_to_zico() -> None:
    assert proxies.zico(Measured([module(2.0), module(0.0)], (1.0, 1.0))) == math.log(2)
    assert proxies.zico_mean(Measured([module(2.0), module(0.0)], (1.0, 1.0))) == math.log(2) / 2


def test_a_gradient_that_is_no_number_stays_visible() -> None:
    broken = Measured([module(2.0), module(math.nan)], (1.0, math.nan))
    assert math.isnan(proxies.zico(broken))
    assert math.isnan(proxies.fr(broken))
    assert math.isnan(proxies.plain(broken))


def test_weights_that_no_gradient_sees_have_the_smallest_fisher_rao_norm() -> None:
    assert proxies.fr(Measured([module(1.0)], (0.0, 0.0))) == -math.inf
