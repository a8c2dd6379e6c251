"""Each baseline against its paper's formula, computed term by term."""

from __future__ import annotations

import math
from itertools import combinations

import pytest
import torch
from torch import Tensor, nn

from recnas.nn.baselines.autoint import AutoIntPlus
from recnas.nn.baselines.dcnv2 import DCNV2
from recnas.nn.baselines.deepfm import DeepFM
from recnas.nn.baselines.finalmlp import FinalMLP
from recnas.nn.baselines.layers import MLP
from recnas.nn.baselines.lr import LogisticRegression
from recnas.nn.baselines.xdeepfm import XDeepFM

ROWS, DENSE, SPARSE, DIM = 4, 2, 3, 6
FIELDS = DENSE + SPARSE

pytestmark = pytest.mark.usefixtures("double")


@pytest.fixture
def dense() -> Tensor:
    return torch.randn(ROWS, DENSE, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.fixture
def fields() -> Tensor:
    """Embeddings, and in the last column first-order weights."""
    return torch.randn(ROWS, SPARSE, DIM + 1, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def all_vectors(network: nn.Module, dense: Tensor, vectors: Tensor, row: int) -> list[Tensor]:
    """A row's vectors: each dense feature's own times its value, then the embeddings."""
    own = network.all_fields.weight
    return [dense[row, d] * own[d] for d in range(DENSE)] + [vectors[row, f] for f in range(SPARSE)]


def linear_part(network: nn.Module, dense: Tensor, weights: Tensor, row: int) -> Tensor:
    part = network.linear
    return weights[row].sum() + sum(dense[row, d] * part.weight[d, 0] for d in range(DENSE)) + part.bias[0]


def perceptron(layers: MLP, x: Tensor) -> Tensor:
    for layer in layers:
        if isinstance(layer, nn.Linear):
            x = (layer.weight @ x + layer.bias).clamp(min=0)
    return x


def test_logistic_regression_sums_one_weight_a_value(dense: Tensor, fields: Tensor, shake) -> None:
    network = shake(LogisticRegression(DENSE, SPARSE), 0)
    assert sum(parameter.numel() for parameter in network.parameters()) == DENSE + 1
    expected = torch.stack([linear_part(network, dense, fields[..., -1], row) for row in range(ROWS)])
    torch.testing.assert_close(network(dense, fields[..., -1:]), expected)


def test_deepfm_sums_the_products_of_all_pairs(dense: Tensor, fields: Tensor, shake) -> None:
    network = shake(DeepFM(DENSE, SPARSE, DIM, hidden=(7, 5)), 0).eval()
    logits = []
    for row in range(ROWS):
        vectors = all_vectors(network, dense, fields[..., :-1], row)
        pairs = sum(a @ b for a, b in combinations(vectors, 2))
        deep = network.last.weight[0] @ perceptron(network.deep, torch.cat(vectors))
        logits.append(linear_part(network, dense, fields[..., -1], row) + pairs + deep)
    torch.testing.assert_close(network(dense, fields), torch.stack(logits))


def test_xdeepfm_sums_the_maps_of_its_interaction_network(dense: Tensor, fields: Tensor, shake) -> None:
    maps = (4, 3)
    network = shake(XDeepFM(DENSE, SPARSE, DIM, feature_maps=maps, hidden=(7, 5)), 0)
    logits = []
    for row in range(ROWS):
        vectors = all_vectors(network, dense, fields[..., :-1], row)
        pooled, before = [], vectors
        for layer, count in zip(network.interactions.layers, maps, strict=True):
            weight = layer.linear.weight.reshape(count, FIELDS, len(before))
            before = [
                sum(weight[h, i, j] * vectors[i] * before[j] for i in range(FIELDS) for j in range(len(before)))
                + layer.linear.bias[h]
                for h in range(count)
            ]
            pooled += [x.sum() for x in before]
        explicit = network.last_interactions.weight[0] @ torch.stack(pooled)
        deep = network.last_deep.weight[0] @ perceptron(network.deep, torch.cat(vectors))
        logits.append(linear_part(network, dense, fields[..., -1], row) + explicit + deep)
    torch.testing.assert_close(network(dense, fields), torch.stack(logits))


def test_autoint_lets_every_field_attend_to_all(dense: Tensor, fields: Tensor, shake) -> None:
    heads, head_dim = 2, 4
    network = AutoIntPlus(DENSE, SPARSE, DIM, layers=2, heads=heads, head_dim=head_dim, hidden=(7, 5))
    network = shake(network, 0).requires_grad_(False)
    logits = []
    for row in range(ROWS):
        vectors = start = all_vectors(network, dense, fields[..., :-1], row)
        for layer in network.attention:
            outputs = []
            for x in vectors:
                parts = []
                for head in range(heads):
                    own = slice(head * head_dim, (head + 1) * head_dim)
                    query, key, value = (part.weight[own] for part in (layer.query, layer.key, layer.value))
                    scores = [math.exp((query @ x) @ (key @ other)) for other in vectors]
                    parts.append(
                        sum(s / sum(scores) * (value @ other) for s, other in zip(scores, vectors, strict=True))
                    )
                outputs.append((torch.cat(parts) + layer.residual.weight @ x).clamp(min=0))
            vectors = outputs
        joined = torch.cat([*vectors, perceptron(network.deep, torch.cat(start))])
        logits.append(network.last.weight[0] @ joined + network.last.bias[0])
    torch.testing.assert_close(network(dense, fields[..., :-1]), torch.stack(logits))


def test_dcnv2_multiplies_each_cross_layer_by_the_inputs(dense: Tensor, fields: Tensor, shake) -> None:
    network = shake(DCNV2(DENSE, SPARSE, DIM, cross_layers=2, hidden=(7, 5)), 0)
    logits = []
    for row in range(ROWS):
        x = base = torch.cat(all_vectors(network, dense, fields[..., :-1], row))
        for layer in network.cross.layers:
            x = torch.stack([base[i] * (layer.weight[i] @ x + layer.bias[i]) + x[i] for i in range(len(x))])
        joined = torch.cat([x, perceptron(network.deep, base)])
        logits.append(network.last.weight[0] @ joined + network.last.bias[0])
    torch.testing.assert_close(network(dense, fields[..., :-1]), torch.stack(logits))


@pytest.mark.parametrize("heads", [1, 2])
def test_finalmlp_fuses_its_two_gated_streams(dense: Tensor, fields: Tensor, shake, heads: int) -> None:
    network = shake(FinalMLP(DENSE, SPARSE, DIM, hidden=(7, 4), gate_hidden=3, heads=heads), 0)
    logits = []
    for row in range(ROWS):
        x = torch.cat(all_vectors(network, dense, fields[..., :-1], row))
        outputs = []
        for gate, layers in (network.stream_1, network.stream_2):
            hidden, last, _ = gate.gate
            factors = 2 / (1 + torch.exp(-(last.weight @ perceptron(hidden, gate.context[0]) + last.bias)))
            outputs.append(perceptron(layers, factors * x))
        a, b = outputs
        fusion, width = network.fusion, 4 // heads
        logit = fusion.linear_x.weight[0] @ a + fusion.linear_x.bias[0] + fusion.linear_y.weight[0] @ b
        for head, layer in enumerate(fusion.bilinear):
            own = slice(head * width, (head + 1) * width)
            logit = logit + b[own] @ layer.weight @ a[own]
        logits.append(logit)
    torch.testing.assert_close(network(dense, fields[..., :-1]), torch.stack(logits))
