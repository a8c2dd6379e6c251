"""Statistics against plain double-precision autograd over whole parameters."""

from __future__ import annotations

import random
from dataclasses import astuple

import pytest
import torch

from recnas.nn import kernels
from recnas.proxies import batches as proxy_batches
from recnas.proxies.batches import ProxyBatches
from recnas.proxies.statistics import GradientStatistics, ModuleStatistics, collect
from recnas.space import SPACES


def statistics_of(plain) -> GradientStatistics:
    """The definitions, element by element."""
    modules = []
    for module in plain.modules:
        weights, gradients = module.weights, module.gradients
        mean, magnitude, deviation = gradients.mean(0), gradients.abs().mean(0), gradients.std(0)
        varies = deviation > 0
        modules.append(
            ModuleStatistics(
                ratio=(magnitude[varies] / deviation[varies]).sum().item(),
                magnitude=magnitude.sum().item(),
                deviation=deviation.sum().item(),
                gradient_square=(mean**2).sum().item(),
                saliency=(weights * mean).abs().sum().item(),
                weight_square=(weights**2).sum().item(),
            )
        )
    projections = sum(module.gradients @ module.weights for module in plain.modules)
    return GradientStatistics(tuple(modules), tuple(projections.tolist()), tuple(plain.losses))


def assert_close(found: GradientStatistics, expected: GradientStatistics, rel: float, abs: float) -> None:
    assert found.losses == pytest.approx(expected.losses, rel=rel)
    assert found.projections == pytest.approx(expected.projections, rel=rel, abs=abs)
    assert len(found.modules) == len(expected.modules)
    # Modules come in no order; their figures are told apart by the first that differ.
    for one, other in zip(sorted(map(astuple, found.modules)), sorted(map(astuple, expected.modules)), strict=True):
        assert one == pytest.approx(other, rel=rel, abs=abs)


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("narrow", [False, True])
def test_every_statistic_equals_that_of_plain_double_precision_autograd(space: str, narrow: bool, make_case) -> None:
    case, rng = make_case(space, narrow=narrow), random.Random(2)
    for _ in range(10 if narrow else 2):
        arch = case.supernet.network.space.sample(rng)
        expected = statistics_of(case.plain(arch))
        assert_close(collect(case.supernet, arch, case.proxy_batches), expected, rel=1e-6, abs=1e-11)


@pytest.mark.parametrize("space", SPACES)
def test_two_batches_are_enough(space: str, make_case) -> None:
    case = make_case(space, batches=2)
    arch = case.supernet.network.space.sample(random.Random(1))
    expected = statistics_of(case.plain(arch))
    assert_close(collect(case.supernet, arch, case.proxy_batches), expected, rel=1e-6, abs=1e-11)


@pytest.mark.parametrize("space", SPACES)
def test_single_precision_is_close_to_double_precision(space: str, make_supernet, make_case) -> None:
    case = make_case(space, rows=32)
    supernet = make_supernet(space, narrow=True)
    batches, rng = ProxyBatches(supernet, case.batches), random.Random(3)
    for _ in range(4):
        arch = supernet.network.space.sample(rng)
        found, expected = collect(supernet, arch, batches), statistics_of(case.plain(arch))
        assert found.losses == pytest.approx(expected.losses, rel=1e-4)
        assert found.projections == pytest.approx(expected.projections, rel=1e-3, abs=1e-4)
        pairs = zip(sorted(map(astuple, found.modules)), sorted(map(astuple, expected.modules)), strict=True)
        for one, other in pairs:
            # A ratio with a standard deviation near 0 is the least exact of them.
            assert one == pytest.approx(other, rel=1e-2, abs=1e-5)


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("together", [1, 2, 3])
def test_it_does_not_matter_how_many_batches_share_a_pass(space: str, together: int, make_case, monkeypatch) -> None:
    case, rng = make_case(space, batches=5, rows=8), random.Random(4)
    for _ in range(3):
        arch = case.supernet.network.space.sample(rng)
        expected = collect(case.supernet, arch, case.proxy_batches)
        with monkeypatch.context() as patch:
            patch.setattr(proxy_batches, "ROWS_OF_A_PASS", 8 * together)
            assert_close(collect(case.supernet, arch, case.proxy_batches), expected, rel=1e-6, abs=1e-11)


@pytest.mark.parametrize("space", SPACES)
def test_without_kernels_the_statistics_are_the_same(space: str, make_case, monkeypatch) -> None:
    """Elsewhere than on a CPU torch's operators compute what the kernels do."""
    case, rng = make_case(space, batches=3, rows=8), random.Random(4)
    for _ in range(5):
        arch = case.supernet.network.space.sample(rng)
        expected = collect(case.supernet, arch, case.proxy_batches)
        with monkeypatch.context() as patch:
            patch.setattr(kernels, "take", lambda tensor: False)
            assert_close(collect(case.supernet, arch, case.proxy_batches), expected, rel=1e-6, abs=1e-11)


def test_the_same_candidate_has_the_same_statistics_twice(make_supernet, make_batch) -> None:
    supernet, generator = make_supernet("nasrec-small"), torch.Generator().manual_seed(1)
    batches = ProxyBatches(supernet, [make_batch(generator) for _ in range(2)])
    arch = supernet.network.space.sample(random.Random(0))
    assert collect(supernet, arch, batches) == collect(supernet, arch.canonical(), batches)


def test_rows_are_those_of_the_batches_in_their_order(make_case) -> None:
    case = make_case("nasrec-small", batches=3)
    for found, expected in zip(case.proxy_batches.rows(), case.rows(), strict=True):
        assert torch.equal(found, expected)
    for found, expected in zip(case.proxy_batches.rows(7), case.rows(), strict=True):
        assert torch.equal(found, expected[:7])
    assert case.proxy_batches.num_batch_rows == 18


def test_batches_of_two_sizes_are_refused(make_supernet, make_batch) -> None:
    generator = torch.Generator().manual_seed(0)
    with pytest.raises(ValueError, match="differ in size"):
        ProxyBatches(make_supernet("nasrec-small", narrow=True), [make_batch(generator, rows) for rows in (6, 7)])


def test_a_standard_deviation_needs_two_batches(make_supernet, make_batch) -> None:
    with pytest.raises(ValueError, match="at least 2"):
        ProxyBatches(make_supernet("nasrec-small", narrow=True), [make_batch(torch.Generator().manual_seed(0))])
