"""Scores in bfloat16 against those in single precision."""

from __future__ import annotations

import random
from dataclasses import astuple

import pytest
import torch
from scipy.stats import kendalltau

from recnas.proxies.batches import ProxyBatches
from recnas.proxies.bfloat16 import Bfloat16Recorder
from recnas.proxies.context import ScoringContext
from recnas.proxies.expression import SIGEO, Expression
from recnas.proxies.inputs import ProxyInputs
from recnas.proxies.precision import PRECISIONS, multiplies_bfloat16
from recnas.proxies.statistics import collect, look_at_losses
from recnas.space import SPACES

pytestmark = pytest.mark.skipif(not multiplies_bfloat16(), reason="this processor multiplies no bfloat16")


@pytest.fixture
def measures(make_supernet, make_batch):
    """A narrow supernet of a named space, and batches of 128 rows."""

    def make(space: str) -> tuple:
        supernet, generator = make_supernet(space, narrow=True), torch.Generator().manual_seed(1)
        return supernet, ProxyBatches(supernet, [make_batch(generator, 128) for _ in range(4)])

    return make


@pytest.mark.parametrize("space", SPACES)
def test_candidates_have_nearly_the_order_by_sigeo_that_they_have_in_single_precision(space: str, measures) -> None:
    (supernet, batches), sigeo, rng = measures(space), Expression.parse(SIGEO), random.Random(3)
    scores: dict[str, list[float]] = {precision: [] for precision in PRECISIONS}
    for arch in [supernet.network.space.sample(rng) for _ in range(40)]:
        for precision, found in scores.items():
            inputs = ProxyInputs(ScoringContext.of(supernet, batches, precision=precision), arch)
            found.append(sigeo.score({name: proxy(inputs) for name, proxy in sigeo.proxies.items()}))
    assert kendalltau(*scores.values()).statistic >= 0.98
    assert scores["bf16"] == pytest.approx(scores["fp32"], rel=0.01)
    assert scores["bf16"] != scores["fp32"]


@pytest.mark.parametrize("space", ["nasrec-small", "nasrec-full"])
def test_every_statistic_is_near_that_of_single_precision(space: str, measures) -> None:
    (supernet, batches), rng = measures(space), random.Random(4)
    for _ in range(6):
        arch = supernet.network.space.sample(rng)
        expected, found = (collect(supernet, arch, batches, precision) for precision in PRECISIONS)
        assert found.losses == pytest.approx(expected.losses, rel=0.01)
        assert found.losses == look_at_losses(supernet, arch, batches, "bf16")
        # θᵀg of what stands before a norm is a sum of products of both signs that comes to nothing; rounding stays.
        size = sum(module.saliency for module in expected.modules)
        assert found.projections == pytest.approx(expected.projections, rel=0.02, abs=0.15 * size)
        # Of a small module, a few elements whose gradient hardly varies decide the ratio.
        sums = [[sum(values) for values in zip(*map(astuple, each.modules), strict=True)] for each in (found, expected)]
        assert sums[0] == pytest.approx(sums[1], rel=0.1)
        assert len(found.modules) == len(expected.modules)


def test_layers_give_one_another_bfloat16_and_the_logit_is_in_single_precision(measures) -> None:
    supernet, batches = measures("nasrec-full")
    recorder, seen = Bfloat16Recorder(), []
    recorder.begin(1)
    handles = [
        module.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
        for name, module in supernet.network.named_modules()
        if name.endswith(("linear", "norm"))
    ]
    dense, fields, _ = batches.rows(128)
    logits = supernet.network(
        dense.bfloat16(), fields.bfloat16(), supernet.network.space.sample(random.Random(0)), recorder
    )
    for handle in handles:
        handle.remove()
    assert set(seen) == {torch.bfloat16}
    assert logits.dtype == torch.float32
