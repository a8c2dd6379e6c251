"""Proxies with a pass of their own, against finished networks that are watched and differentiated from outside."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recnas.nn.elastic import ElasticLinear, ElasticNorm, Primitives, WeightSlices
from recnas.nn.network import ChoiceNetwork, LastLayer
from recnas.proxies import passes
from recnas.space import SPACES

pytestmark = pytest.mark.usefixtures("double")


@pytest.mark.parametrize("space", SPACES)
def test_grasp_equals_finite_differences_of_the_gradient(space: str, make_case) -> None:
    case, rng = make_case(space), random.Random(6)
    dense, fields, label = case.rows()
    for _ in range(6):
        arch = case.supernet.network.space.sample(rng)
        network = case.network(arch)
        parameters = list(network.parameters())

        def gradient() -> list[Tensor]:
            loss = F.binary_cross_entropy_with_logits(network(dense, fields), label)  # noqa: B023
            return list(torch.autograd.grad(loss, parameters, materialize_grads=True))  # noqa: B023

        start, direction = [parameter.detach().clone() for parameter in parameters], gradient()
        # Small enough not to pass a ReLU's corner.
        step = 1e-7 / max(item.abs().max().item() for item in direction)
        ends = []
        for sign in (1, -1):
            with torch.no_grad():
                for parameter, weights, item in zip(parameters, start, direction, strict=True):
                    parameter.copy_(weights + sign * step * item)
            ends.append(gradient())
        expected = -sum(
            (weights * (ahead - behind)).sum().item() / (2 * step)
            for weights, ahead, behind in zip(start, *ends, strict=True)
        )
        assert passes.grasp(case.candidate(arch)) == pytest.approx(expected, rel=1e-4, abs=1e-7)


@pytest.mark.parametrize("space", SPACES)
def test_fisher_equals_a_loop_over_the_layers_and_channels_of_the_finished_network(space: str, make_case) -> None:
    case, rng = make_case(space), random.Random(7)
    dense, fields, label = case.rows()
    for _ in range(6):
        arch = case.supernet.network.space.sample(rng)
        network, outputs = case.network(arch), []
        for layer in network.modules():
            if isinstance(layer, ElasticLinear | LastLayer):
                layer.register_forward_hook(lambda layer, inputs, output: outputs.append(output))  # noqa: B023
        loss = F.binary_cross_entropy_with_logits(network(dense, fields), label)
        gradients = torch.autograd.grad(loss, outputs)
        expected = 0.0
        for output, at_output in zip(outputs, gradients, strict=True):
            product = (output * at_output).detach().numpy()
            for channel in range(1 if product.ndim == 1 else product.shape[-1]):
                of_channel = product if product.ndim == 1 else product[..., channel]
                by_row = of_channel.reshape(len(label), -1).sum(1)
                expected += (by_row**2).mean() / 2
        assert passes.fisher(case.candidate(arch)) == pytest.approx(expected, rel=1e-8)


class NoNorm(nn.Module):
    """Stands where a layer norm stood."""

    def forward(self, x: Tensor, slices: WeightSlices | None = None, relu: bool = False) -> Tensor:
        return torch.relu(x) if relu else x


def without_norms(network: nn.Module) -> nn.Module:
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, ElasticNorm):
                setattr(parent, name, NoNorm())
    return network


def attend(self: Primitives, packed: Tensor, heads: int) -> Tensor:
    """Head by head, as torch's fused operator gives NaN for scores as large as synflow's."""
    size, results = packed.shape[-1] // 3, []
    for start in range(0, size, size // heads):
        query, key, value = (packed[..., start + part * size :][..., : size // heads] for part in range(3))
        scores = torch.einsum("bqe,bke->bqk", query, key) / math.sqrt(size // heads)
        results.append(torch.einsum("bqk,bke->bqe", scores.softmax(-1), value))
    return torch.cat(results, dim=-1)


@pytest.mark.parametrize("space", SPACES)
def test_synflow_equals_the_positive_network_without_norms(space: str, make_case, monkeypatch) -> None:
    monkeypatch.setattr(Primitives, "attention", attend)
    case, rng = make_case(space), random.Random(8)
    for _ in range(8):
        arch = case.supernet.network.space.sample(rng)
        network = without_norms(case.network(arch))
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.abs_()
        logit = network(torch.ones(1, network.num_dense), torch.ones(1, network.num_sparse, network.dim))
        parameters = list(network.parameters())
        gradients = torch.autograd.grad(logit.sum(), parameters, materialize_grads=True)
        total = sum((weights * item).abs().sum().item() for weights, item in zip(parameters, gradients, strict=True))
        assert passes.synflow(case.candidate(arch)) == pytest.approx(math.log(total), rel=1e-8)


def draw_weights(case, arch, network: ChoiceNetwork, generator: torch.Generator) -> None:
    """Gives a finished network normal weights, drawn at a candidate's sizes in the order of its first use of them."""
    order = WeightSlices()
    dense, fields, _ = case.rows()
    case.supernet.network(dense[:1], fields[:1], arch, order)
    names = {id(parameter): name for name, parameter in case.supernet.network.named_parameters()}
    finished = dict(network.named_parameters())
    with torch.no_grad():
        for taken in order.taken:
            parameter = finished[names[id(taken.parameter)]]
            if isinstance(taken.layer, ElasticNorm):
                parameter.fill_(1.0 if taken.parameter is taken.layer.weight else 0.0)
            elif taken.leaf.dim() == 1:
                parameter.zero_()
            else:
                drawn = torch.randn(taken.leaf.shape, generator=generator)
                parameter.zero_()[tuple(slice(size) for size in drawn.shape)] = drawn


@pytest.mark.parametrize("space", SPACES)
def test_zen_equals_the_distance_in_a_finished_network_with_the_same_drawn_weights(space: str, make_case) -> None:
    case, rng = make_case(space), random.Random(9)
    for _ in range(4):
        arch = case.supernet.network.space.sample(rng)
        network, generator, scores = case.network(arch), torch.Generator().manual_seed(0), []
        normed, read = [], []
        for layer in network.modules():
            if isinstance(layer, ElasticNorm):
                layer.register_forward_pre_hook(lambda layer, inputs: normed.append(inputs[0].detach()))  # noqa: B023
        network.last.register_forward_pre_hook(
            lambda layer, inputs: read.append(  # noqa: B023
                np.concatenate([item.detach().flatten(1).numpy() for item in inputs[0].values()], axis=1)
            )
        )
        for _ in range(passes.DRAWS):
            normed.clear()
            read.clear()
            dense = torch.randn(passes.DRAWN_ROWS, network.num_dense, generator=generator)
            fields = torch.randn(passes.DRAWN_ROWS, network.num_sparse, network.dim, generator=generator)
            draw_weights(case, arch, network, generator)
            network(dense, fields)
            scales = [math.sqrt(np.var(x.numpy(), axis=-1).mean()) for x in normed]
            dense = dense + passes.STEP * torch.randn(dense.shape, generator=generator)
            fields = fields + passes.STEP * torch.randn(fields.shape, generator=generator)
            network(dense, fields)
            distance = np.sqrt(((read[1] - read[0]) ** 2).sum(1)).mean()
            scores.append(math.log(distance) + sum(math.log(scale) for scale in scales))
        assert passes.zen(case.candidate(arch)) == pytest.approx(np.mean(scores), rel=1e-8)


@pytest.mark.parametrize("proxy", [passes.synflow, passes.zen])
def test_what_is_published_for_no_data_sees_none(proxy, make_case, make_batch) -> None:
    case = make_case("nasrec-full")
    arch = case.supernet.network.space.sample(random.Random(10))
    before = proxy(case.candidate(arch))
    for looked_up in case.proxy_batches.looked_up:
        looked_up.dense.zero_()
        looked_up.fields.zero_()
        looked_up.label.zero_()
    assert proxy(case.candidate(arch)) == before
