"""What holds for every baseline."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from inspect import signature
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from recnas.candidates.families import FAMILIES
from recnas.candidates.network import Baseline
from recnas.data import Batch
from recnas.features.feature import DenseFeature, SparseFeature
from recnas.features.number_field import NumberField
from recnas.features.schema import SPLITS, Schema
from recnas.nn.baselines.registry import find_baseline
from recnas.nn.networks import build_network, network_of
from recnas.train.losses import training_loss

ROWS = 3

pytestmark = pytest.mark.usefixtures("double")


def inputs(name: str, schema: Schema, rows: int = ROWS) -> tuple[Tensor, Tensor]:
    """Dense features and fields; a data set without dense features has a column of zeros."""
    columns = find_baseline(name).dim + find_baseline(name).first_order
    dense = torch.randn(rows, len(schema.dense)) if schema.dense else torch.zeros(rows, 1)
    return dense, torch.randn(rows, schema.num_sparse, columns)


def model(baseline: Baseline, schema: Schema, shake) -> nn.Module:
    torch.manual_seed(0)
    return shake(find_baseline(baseline.name).network(schema, baseline).double().eval(), 0)


def chosen(name: str) -> list[Baseline]:
    """Members of a family, the default one first, that have every value of every choice between them."""
    choices = FAMILIES[name].choices
    count = max((len(values) for values in choices.values()), default=1)
    return [
        Baseline(name, {key: values[place % len(values)] for key, values in choices.items()}) for place in range(count)
    ]


ALL = [baseline for name in FAMILIES for baseline in chosen(name)]
each_family = pytest.mark.parametrize("name", FAMILIES)
each_choice = pytest.mark.parametrize("baseline", ALL, ids=lambda baseline: baseline.id)


def with_dense(schema: Schema, count: int) -> Schema:
    return replace(schema, dense=tuple(DenseFeature(f"d{index}", {"name": "none"}) for index in range(count)))


@pytest.fixture
def mixed(schema: Schema) -> Schema:
    """Five sparse features and three dense ones."""
    return with_dense(schema, 3)


@pytest.fixture(params=[0, 1, 3])
def features(request: pytest.FixtureRequest, schema: Schema) -> Schema:
    """Five sparse features with no, one and three dense ones."""
    return with_dense(schema, request.param)


@each_choice
def test_what_is_counted_is_what_is_computed(baseline: Baseline, mixed: Schema) -> None:
    spec = find_baseline(baseline.name)
    mixed = replace(mixed, number_fields=number_fields(mixed))
    network = spec.network(mixed, baseline).double().eval()

    def computed(rows: int) -> int:
        # Torch counts the products of attention only when it computes them one by one.
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            network(*inputs(baseline.name, mixed, rows))
        return counter.get_total_flops()

    # The difference leaves out what is done once a batch.
    assert computed(5) - computed(2) == 2 * 3 * spec.macs(mixed, baseline)


def number_fields(schema: Schema) -> tuple[NumberField, ...]:
    """Fields of a schema's dense features, of alternate kinds."""
    kinds = (("field", ()), ("piecewise", (-1.0, 0.0, 2.0)))
    return tuple(NumberField(item.name, *kinds[place % 2]) for place, item in enumerate(schema.dense))


def test_dlrm_costs_what_its_layers_do() -> None:
    schema = Schema(
        "y",
        tuple(DenseFeature(f"I{place}", {"name": "none"}) for place in range(13)),
        tuple(SparseFeature(f"C{place}", 10) for place in range(26)),
        {split: {"rows": 10, "positives": 3} for split in SPLITS},
    )
    layers = [(13, 512, 256, 64, 16), (16 + 27 * 13, 512, 256, 1)]
    products = sum(a * b for widths in layers for a, b in pairwise(widths))
    biases = sum(width for widths in layers for width in widths[1:])
    spec = find_baseline("dlrm")
    assert spec.macs(schema) == products + 27 * 27 * 16
    assert sum(parameter.numel() for parameter in spec.network(schema).parameters()) == products + biases


@each_choice
def test_a_baseline_gives_a_row_the_same_logit_in_any_batch(baseline: Baseline, mixed: Schema, shake) -> None:
    network, (dense, fields) = model(baseline, mixed, shake), inputs(baseline.name, mixed)
    logits = network(dense, fields)
    assert logits.shape == (ROWS,)
    for row in range(ROWS):
        torch.testing.assert_close(network(dense[row : row + 1], fields[row : row + 1]), logits[row : row + 1])


@each_family
@pytest.mark.parametrize("dropout", [None, 0.0, 0.3])
def test_a_baseline_learns_from_all_it_reads(name: str, features: Schema, shake, dropout) -> None:
    torch.manual_seed(0)
    # A single hidden unit of FiBiNET's weights may be dead from the start.
    baseline = Baseline(name, {"reduction": 1} if name == "fibinet" else {})
    network = shake(find_baseline(name).network(features, baseline, dropout=dropout).double(), 1)
    dense, fields = inputs(name, features, rows=64)
    dense.requires_grad_()
    fields.requires_grad_()
    label = torch.arange(len(dense)).remainder(3).eq(0).double()
    batch = Batch(dense, None, label)
    logits = network(dense, fields)
    # Where a prediction is certain there is nothing to learn.
    loss = training_loss(network, logits / logits.detach().abs().max(), batch, Alone())
    loss.backward()
    assert fields.grad.abs().sum(0).all()
    if features.dense:
        assert dense.grad.abs().sum(0).all()
        assert all(parameter.grad.any() for parameter in network.parameters())


class Alone:
    """This process alone, as a loss knows it."""

    alone = True


@pytest.mark.parametrize("name", sorted(FAMILIES.keys() - {"dlrm"}))
def test_the_zero_column_of_a_data_set_without_dense_features_is_not_read(name: str, schema: Schema, shake) -> None:
    assert not schema.dense
    network, (dense, fields) = model(Baseline(name), schema, shake), inputs(name, schema)
    assert torch.equal(network(dense, fields), network(dense + 1, fields))


@each_choice
def test_the_names_of_weights_do_not_depend_on_dropout(baseline: Baseline, schema: Schema) -> None:
    spec = find_baseline(baseline.name)
    shapes = [
        {name: weight.shape for name, weight in spec.network(schema, baseline, dropout=share).state_dict().items()}
        for share in (None, 0.0, 0.5)
    ]
    assert shapes[0] == shapes[1] == shapes[2]


@each_family
def test_dropout_is_as_published_or_as_asked_for_and_only_in_training(name: str, schema: Schema, shake) -> None:
    published = {"deepfm": 0.5, "fcn": 0.1, "qnn": 0.1}
    spec, (dense, fields) = find_baseline(name), inputs(name, schema)

    def differs(dropout: float | None) -> bool:
        """Whether what is given of the same rows differs from one time to another."""
        torch.manual_seed(0)
        network = shake(spec.network(schema, dropout=dropout).double(), 0)
        assert torch.equal(network.eval()(dense, fields), network(dense, fields))
        network.train()
        return not torch.equal(network(dense, fields), network(dense, fields))

    assert differs(None) == (name in published)
    assert not differs(0.0)
    assert differs(0.5) == (name != "lr")
    if name in published:
        assert signature(spec.make).parameters["dropout"].default == published[name]


@each_choice
def test_a_network_says_what_it_is(baseline: Baseline, mixed: Schema) -> None:
    for fed in (
        mixed,
        replace(mixed, number_fields=number_fields(mixed)),
        replace(mixed, reads_columns=False),
    ):
        assert network_of(build_network(baseline, fed)) == baseline


def test_names_are_known_without_torch() -> None:
    code = "import sys, recnas.candidates.network; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
