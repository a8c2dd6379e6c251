"""What holds for every baseline."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from recnas.candidates.families import FAMILIES
from recnas.features.feature import DenseFeature
from recnas.features.schema import Schema
from recnas.nn.baselines.registry import find_baseline

ROWS = 3

pytestmark = pytest.mark.usefixtures("double")


def inputs(name: str, schema: Schema, rows: int = ROWS) -> tuple[Tensor, Tensor]:
    """Dense features and fields; a data set without dense features has a column of zeros."""
    columns = find_baseline(name).dim + find_baseline(name).first_order
    dense = torch.randn(rows, len(schema.dense)) if schema.dense else torch.zeros(rows, 1)
    return dense, torch.randn(rows, schema.num_sparse, columns)


def model(name: str, schema: Schema, shake) -> nn.Module:
    torch.manual_seed(0)
    return shake(find_baseline(name).network(schema).double().eval(), 0)


@pytest.fixture(params=[0, 1, 3])
def features(request: pytest.FixtureRequest, schema: Schema) -> Schema:
    """Five sparse features with no, one and three dense ones."""
    dense = tuple(DenseFeature(f"d{index}", {"name": "none"}) for index in range(request.param))
    return replace(schema, dense=dense)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_baseline_computes_the_flops_that_are_counted(name: str, features: Schema) -> None:
    network = find_baseline(name).network(features).double()

    def counted(rows: int) -> int:
        # Torch counts the products of attention only when it computes them one by one.
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            network(*inputs(name, features, rows))
        return counter.get_total_flops()

    # The difference leaves out what is done once a batch.
    assert counted(5) - counted(2) == 2 * 3 * find_baseline(name).macs(features)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_baseline_gives_a_row_the_same_logit_in_any_batch(name: str, features: Schema, shake) -> None:
    network, (dense, fields) = model(name, features, shake), inputs(name, features)
    logits = network(dense, fields)
    assert logits.shape == (ROWS,)
    for row in range(ROWS):
        torch.testing.assert_close(network(dense[row : row + 1], fields[row : row + 1]), logits[row : row + 1])


@pytest.mark.parametrize("name", FAMILIES)
def test_a_baseline_learns_from_all_it_reads(name: str, features: Schema, shake) -> None:
    network, (dense, fields) = model(name, features, shake), inputs(name, features, rows=16)
    dense.requires_grad_()
    fields.requires_grad_()
    network(dense, fields).square().sum().backward()
    assert fields.grad.abs().sum(0).all()
    if features.dense:
        assert dense.grad.abs().sum(0).all()
        assert all(parameter.grad.any() for parameter in network.parameters())


@pytest.mark.parametrize("name", sorted(FAMILIES.keys() - {"dlrm"}))
def test_the_zero_column_of_a_data_set_without_dense_features_is_not_read(name: str, schema: Schema, shake) -> None:
    assert not schema.dense
    network, (dense, fields) = model(name, schema, shake), inputs(name, schema)
    assert torch.equal(network(dense, fields), network(dense + 1, fields))


def test_only_deepfm_as_published_has_dropout(schema: Schema) -> None:
    rates = {
        name: {layer.p for layer in baseline.network(schema).modules() if isinstance(layer, nn.Dropout)}
        for name, baseline in zip(FAMILIES, map(find_baseline, FAMILIES), strict=True)
    }
    assert rates == {name: {0.5} if name == "deepfm" else set() for name in FAMILIES}


def test_names_are_known_without_torch() -> None:
    code = "import sys, recnas.nn.baselines; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
