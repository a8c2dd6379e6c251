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
from recnas.nn.baselines.dlrm import DLRM
from recnas.nn.baselines.dnn import DNN
from recnas.nn.baselines.fcn import FCN
from recnas.nn.baselines.fibinet import FiBiNET
from recnas.nn.baselines.finalmlp import FinalMLP
from recnas.nn.baselines.finalnet import FinalNet
from recnas.nn.baselines.gdcn import GDCN
from recnas.nn.baselines.layers import Hidden
from recnas.nn.baselines.lr import LogisticRegression
from recnas.nn.baselines.masknet import MaskNet
from recnas.nn.baselines.qnn import QNN
from recnas.nn.baselines.xdeepfm import XDeepFM
from recnas.nn.batch_norm import BatchNorm

ROWS, DENSE, FIELDS, DIM = 4, 2, 3, 6
NORMS = ("none", "batch", "layer")

pytestmark = pytest.mark.usefixtures("double")


@pytest.fixture
def dense() -> Tensor:
    return torch.randn(ROWS, DENSE, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.fixture
def fields() -> Tensor:
    """Embeddings, and in the last column first-order weights."""
    return torch.randn(ROWS, FIELDS, DIM + 1, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


@torch.no_grad()
def ready(network: nn.Module, shake) -> nn.Module:
    """With every parameter and running mean away from its start value, in evaluation."""
    shake(network, 0)
    for layer in network.modules():
        if isinstance(layer, BatchNorm):
            layer.running_mean.normal_()
            layer.running_var.uniform_(0.5, 2)
    return network.eval()


def rows_of(dense: Tensor, fields: Tensor) -> list[tuple[Tensor, list[Tensor], Tensor, Tensor]]:
    """Of each row its columns, its fields' vectors, their first-order weights, and all but these side by side."""
    return [
        (numbers, list(of_row[:, :-1]), of_row[:, -1], torch.cat([of_row[:, :-1].flatten(), numbers]))
        for numbers, of_row in zip(dense, fields, strict=True)
    ]


def linear_part(network: nn.Module, numbers: Tensor, weights: Tensor) -> Tensor:
    part = network.linear
    return weights.sum() + sum(numbers[d] * part.weight[d, 0] for d in range(DENSE)) + part.bias[0]


def normed(norm: nn.Module, x: Tensor) -> Tensor:
    """What stands between a linear layer and its activation."""
    if isinstance(norm, nn.Identity):
        return x
    layer = isinstance(norm, nn.LayerNorm)
    mean, var = (x.mean(), x.var(correction=0)) if layer else (norm.running_mean, norm.running_var)
    return (x - mean) / (var + 1e-5).sqrt() * norm.weight + norm.bias


def affine(layer: nn.Linear, x: Tensor) -> Tensor:
    return layer.weight @ x + (0 if layer.bias is None else layer.bias)


def perceptron(layers: nn.Module, x: Tensor) -> Tensor:
    for layer in layers.modules():
        if isinstance(layer, Hidden):
            x = normed(layer.norm, affine(layer.linear, x)).clamp(min=0)
    return x


def test_logistic_regression_sums_one_weight_a_value(dense: Tensor, fields: Tensor, shake) -> None:
    network = ready(LogisticRegression(DENSE, FIELDS), shake)
    assert sum(parameter.numel() for parameter in network.parameters()) == DENSE + 1
    expected = [linear_part(network, numbers, weights) for numbers, _, weights, _ in rows_of(dense, fields)]
    torch.testing.assert_close(network(dense, fields[..., -1:]), torch.stack(expected))


@pytest.mark.parametrize("norm", NORMS)
def test_a_dnn_is_hidden_layers_with_norms_on_all_that_is_given(dense: Tensor, fields: Tensor, shake, norm) -> None:
    network = ready(DNN(DENSE, FIELDS, DIM, hidden=(7, 5), norm=norm), shake)
    expected = [affine(network.last, perceptron(network.deep, x)) for *_, x in rows_of(dense, fields)]
    torch.testing.assert_close(network(dense, fields[..., :-1]), torch.cat(expected))


def test_dlrm_reads_the_products_of_all_pairs_and_of_what_its_columns_come_to(
    dense: Tensor, fields: Tensor, shake
) -> None:
    network = ready(DLRM(DENSE, FIELDS, DIM, bottom=(7,), top=(8, 5), norm="layer"), shake)
    logits = []
    for numbers, vectors, *_ in rows_of(dense, fields):
        below = perceptron(network.bottom, numbers)
        pairs = torch.stack([a @ b for a, b in combinations([below, *vectors], 2)])
        logits.append(affine(network.last, perceptron(network.top, torch.cat([below, pairs]))))
    torch.testing.assert_close(network(dense, fields[..., :-1]), torch.cat(logits))


def test_deepfm_sums_the_products_of_all_pairs(dense: Tensor, fields: Tensor, shake) -> None:
    network = ready(DeepFM(DENSE, FIELDS, DIM, hidden=(7, 5), norm="none"), shake)
    logits = []
    for numbers, vectors, weights, x in rows_of(dense, fields):
        pairs = sum(a @ b for a, b in combinations(vectors, 2))
        deep = affine(network.last, perceptron(network.deep, x))
        logits.append(linear_part(network, numbers, weights) + pairs + deep)
    torch.testing.assert_close(network(dense, fields), torch.cat(logits))


def test_xdeepfm_sums_the_maps_of_its_interaction_network(dense: Tensor, fields: Tensor, shake) -> None:
    maps = (4, 3)
    network = ready(XDeepFM(DENSE, FIELDS, DIM, feature_maps=maps, hidden=(7, 5), norm="none"), shake)
    logits = []
    for numbers, vectors, weights, x in rows_of(dense, fields):
        pooled, before = [], vectors
        for layer, count in zip(network.interactions.layers, maps, strict=True):
            weight = layer.linear.weight.reshape(count, FIELDS, len(before))
            before = [
                sum(weight[h, i, j] * vectors[i] * before[j] for i in range(FIELDS) for j in range(len(before)))
                + layer.linear.bias[h]
                for h in range(count)
            ]
            pooled += [vector.sum() for vector in before]
        explicit = affine(network.last_interactions, torch.stack(pooled))
        deep = affine(network.last_deep, perceptron(network.deep, x))
        logits.append(linear_part(network, numbers, weights) + explicit + deep)
    torch.testing.assert_close(network(dense, fields), torch.cat(logits))


def test_autoint_lets_every_field_attend_to_all(dense: Tensor, fields: Tensor, shake) -> None:
    heads, head_dim = 2, 4
    network = AutoIntPlus(DENSE, FIELDS, DIM, layers=2, heads=heads, head_dim=head_dim, hidden=(7, 5), norm="none")
    network = ready(network, shake).requires_grad_(False)
    logits = []
    for _, vectors, _, together in rows_of(dense, fields):
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
        logits.append(affine(network.last, torch.cat([*vectors, perceptron(network.deep, together)])))
    torch.testing.assert_close(network(dense, fields[..., :-1]), torch.cat(logits))


@pytest.mark.parametrize("structure", ["parallel", "stacked"])
@pytest.mark.parametrize("rank", [0, 3])
def test_dcnv2_multiplies_each_cross_layer_by_the_inputs(dense: Tensor, fields: Tensor, shake, structure, rank) -> None:
    network = DCNV2(DENSE, FIELDS, DIM, structure=structure, layers=2, rank=rank, hidden=(7, 5), norm="none")
    network = ready(network, shake)
    logits = []
    for *_, base in rows_of(dense, fields):
        x = base
        for layer in network.cross.layers:
            weight, bias = (layer[1].weight @ layer[0].weight, layer[1].bias) if rank else (layer.weight, layer.bias)
            x = torch.stack([base[i] * (weight[i] @ x + bias[i]) + x[i] for i in range(len(x))])
        deep = perceptron(network.deep, x if structure == "stacked" else base)
        logits.append(affine(network.last, deep if structure == "stacked" else torch.cat([x, deep])))
    torch.testing.assert_close(network(dense, fields[..., :-1]), torch.cat(logits))


def test_gdcn_gates_what_each_cross_layer_adds(dense: Tensor, fields: Tensor, shake) -> None:
    network = ready(GDCN(DENSE, FIELDS, DIM, layers=2, hidden=(7, 5), norm="none"), shake)
    logits = []
    for *_, base in rows_of(dense, fields):
        x = base
        for layer in network.cross:
            gate = 1 / (1 + torch.exp(-affine(layer.gate, x)))
            x = base * affine(layer.cross, x) * gate + x
        logits.append(affine(network.last, torch.cat([x, perceptron(network.deep, base)])))
    torch.testing.assert_close(network(dense, fields[..., :-1]), torch.cat(logits))


@pytest.mark.parametrize("structure", ["serial", "parallel"])
@pytest.mark.parametrize("field_norm", ["layer", "none"])
def test_masknet_multiplies_the_inputs_of_its_blocks_by_masks(
    dense: Tensor, fields: Tensor, shake, structure, field_norm
) -> None:
    choices = {"structure": structure, "hidden": (7, 5), "blocks": 2, "block_dim": 4, "reduction": 0.5}
    network = ready(MaskNet(DENSE, FIELDS, DIM, **choices, norm="layer", field_norm=field_norm), shake)
    logits = []
    for numbers, vectors, _, v in rows_of(dense, fields):
        if field_norm == "layer":
            weights, biases = network.field_norm.weight, network.field_norm.bias
            vectors = [
                (x - x.mean()) / (x.var(correction=0) + 1e-5).sqrt() * weight + bias
                for x, weight, bias in zip(vectors, weights, biases, strict=True)
            ]
        h, outputs = torch.cat([*vectors, numbers]), []
        for block in network.blocks:
            mask = affine(block.mask[1], perceptron(block.mask[0], v))
            outputs.append(perceptron(block.hidden, mask * h))
            if structure == "serial":
                h = outputs[-1]
        if structure == "parallel":
            h = perceptron(network.deep, torch.cat(outputs))
        logits.append(affine(network.last, h))
    torch.testing.assert_close(network(dense, fields[..., :-1]), torch.cat(logits))


@pytest.mark.parametrize("heads", [1, 2])
def test_finalmlp_fuses_its_two_gated_streams(dense: Tensor, fields: Tensor, shake, heads: int) -> None:
    network = FinalMLP(DENSE, FIELDS, DIM, hidden=(7, 4), second=(6,), gate_hidden=3, heads=heads, norm="none")
    network = ready(network, shake)
    logits = []
    for *_, x in rows_of(dense, fields):
        outputs = []
        for gate, layers in (network.stream_1, network.stream_2):
            hidden, last, _ = gate.gate
            factors = 2 / (1 + torch.exp(-affine(last, perceptron(hidden, gate.context[0]))))
            outputs.append(perceptron(layers, factors * x))
        a, b = outputs
        logit = affine(network.fusion.linear_x, a) + affine(network.fusion.linear_y, b)
        for head_a, head_b, matrix in zip(a.chunk(heads), b.chunk(heads), network.fusion.bilinear, strict=True):
            logit = logit + head_a @ matrix @ head_b
        logits.append(logit)
    torch.testing.assert_close(network(dense, fields[..., :-1]), torch.cat(logits))


@pytest.mark.parametrize("gates", ["fields", "none"])
@pytest.mark.parametrize("blocks", [1, 2])
def test_finalnet_multiplies_the_halves_of_its_layers(dense: Tensor, fields: Tensor, shake, gates, blocks) -> None:
    choices = {"hidden": (8, 4), "second": (6,), "blocks": blocks, "gates": gates, "norm": "batch"}
    network = ready(FinalNet(DENSE, FIELDS, DIM, **choices), shake)
    logits = []
    for numbers, vectors, _, x in rows_of(dense, fields):
        outputs = []
        for place, block in enumerate(network.blocks):
            y = x
            if place == 0 and gates == "fields":
                gate = network.gates.linear
                factors = [sum(gate.weight[i, j] * vectors[j] for j in range(FIELDS)) for i in range(FIELDS)]
                gated = [vectors[i] * (factors[i] + gate.bias[i]) for i in range(FIELDS)]
                y = torch.cat([*vectors, *gated, numbers])
            *layers, last = block
            for layer in layers:
                second, first = affine(layer.linear, y).chunk(2)
                y = normed(layer.norm, torch.cat([second, first * second])).clamp(min=0)
            outputs.append(affine(last, y))
        logits.append(sum(outputs) / blocks)
    torch.testing.assert_close(network(dense, fields[..., :-1]), torch.cat(logits))


@pytest.mark.parametrize("numbers", [1, 2])
def test_fcn_is_the_mean_of_exponential_and_linear_crossing(dense: Tensor, fields: Tensor, shake, numbers) -> None:
    network = ready(FCN(numbers, FIELDS, DIM, layers=2, linear_layers=3, norm="layer"), shake)
    logits = []
    for columns, vectors, *_ in rows_of(dense[:, :numbers], fields):
        halves = [x[: DIM // 2] for x in vectors] + [x[DIM // 2 :] for x in vectors]
        base = torch.cat([*halves, columns])
        outputs = []
        for layers, last in ((network.exponential, network.last_exponential), (network.linear, network.last_linear)):
            x = base
            for layer in layers:
                h = layer.linear.weight @ x
                crossed = torch.cat([h, h * normed(layer.norm, h).clamp(min=0)])[: len(x)] + layer.bias
                x = (x if layers is network.exponential else base) * crossed + x
            outputs.append(affine(last, x))
        logits.append(sum(outputs) / 2)
    torch.testing.assert_close(network(dense[:, :numbers], fields[..., :-1]), torch.cat(logits))


def test_qnn_multiplies_each_layer_by_sums_of_its_own_factors(dense: Tensor, fields: Tensor, shake) -> None:
    network = ready(QNN(DENSE, FIELDS, DIM, layers=2, rows=3, norm="batch"), shake)
    logits = []
    for *_, x in rows_of(dense, fields):
        for layer in network.layers:
            x = x + sum(x * factor for factor in perceptron(layer.factors, x).chunk(3))
        logits.append(affine(network.last, x))
    torch.testing.assert_close(network(dense, fields[..., :-1]), torch.cat(logits))


@pytest.mark.parametrize("bilinear", ["pairs", "each", "all"])
def test_fibinet_weighs_fields_and_maps_the_first_of_each_pair(dense: Tensor, fields: Tensor, shake, bilinear) -> None:
    network = FiBiNET(DENSE, FIELDS, DIM, bilinear=bilinear, reduction=2, hidden=(7, 5), norm="none")
    network = ready(network, shake)
    logits = []
    for numbers, vectors, weights, _ in rows_of(dense, fields):
        first, _, second, _ = network.weights.excitation
        means = torch.stack([x.mean() for x in vectors])
        factors = (second.weight @ (first.weight @ means).clamp(min=0)).clamp(min=0)
        pairs = []
        for products, read in (
            (network.products, vectors),
            (network.weighted_products, [x * factor for x, factor in zip(vectors, factors, strict=True)]),
        ):
            for place, (i, j) in enumerate(combinations(range(FIELDS), 2)):
                matrix = products.weight[{"pairs": place, "each": i, "all": 0}[bilinear]]
                pairs.append((read[i] @ matrix) * read[j])
        deep = affine(network.last, perceptron(network.deep, torch.cat([*pairs, numbers])))
        logits.append(linear_part(network, numbers, weights) + deep)
    torch.testing.assert_close(network(dense, fields), torch.cat(logits))
