"""Fields that are computed from numbers, and networks behind them."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from recnas.candidates.network import Baseline
from recnas.features.feature import DenseFeature
from recnas.features.number_field import NumberField
from recnas.features.schema import Schema
from recnas.nn.elastic import WeightSlices
from recnas.nn.embeddings import WholeEmbeddings
from recnas.nn.model import CTRModel, Supernet, searched_network
from recnas.nn.networks import build_network, count_macs, network_of
from recnas.nn.number_fields import FedNetwork, NumberFields, fed
from recnas.space import SearchSpace, cost

ROWS, DIM = 5, 4
EDGES = st.lists(st.floats(-5, 5).map(lambda x: round(x, 2)), min_size=2, max_size=6, unique=True).map(
    lambda edges: tuple(sorted(edges))
)
FIELDS = st.one_of(
    st.tuples(st.just("field"), st.just(()), st.booleans()), st.tuples(st.just("piecewise"), EDGES, st.booleans())
)


def fed_schema(schema: Schema, fields: list[tuple[str, tuple[float, ...], bool]]) -> Schema:
    """A number and an indicator for each field, in another order than the fields."""
    dense, items = [], []
    for place, (kind, edges, has_missing) in enumerate(fields):
        dense += [DenseFeature(name, {"name": "none"}) for name in (f"gone{place}", f"x{place}")]
        items.append(NumberField(f"x{place}", kind, edges, f"gone{place}" if has_missing else None))
    return replace(schema, dense=tuple(dense), number_fields=tuple(reversed(items)))


def encoded(x: float, edges: tuple[float, ...]) -> list[float]:
    """How much of each piece lies below a number."""
    return [min(max((x - a) / (b - a), 0.0), 1.0) for a, b in pairwise(edges)]


@given(st.lists(FIELDS, min_size=1, max_size=4), st.booleans(), st.integers(0, 99))
def test_a_field_is_the_number_times_a_vector_or_piecewise_linear_in_it_or_that_of_missing_numbers(
    schema: Schema, shake, fields, first_order: bool, seed: int
) -> None:
    schema = fed_schema(schema, fields)
    numbers = shake(NumberFields(schema, DIM, first_order), seed)
    generator = torch.Generator().manual_seed(seed)
    dense = torch.randn(ROWS, len(schema.dense), generator=generator) * 4
    dense[:, ::2] = torch.randint(2, (ROWS, len(fields)), generator=generator).float()
    expected = torch.zeros(ROWS, len(fields), DIM + first_order)
    places = {feature.name: place for place, feature in enumerate(schema.dense)}
    scaled, pieces, missing = (iter(part if part is not None else ()) for part in _parts(numbers))
    for place, item in enumerate(schema.number_fields):
        vector = next(scaled) if item.kind == "field" else None
        start, slopes = next(pieces) if item.kind == "piecewise" else (None, None)
        of_missing = next(missing) if item.missing else None
        for row in range(ROWS):
            x = dense[row, places[item.dense]].item()
            if item.missing and dense[row, places[item.missing]] == 1:
                expected[row, place] = of_missing
            elif item.kind == "field":
                expected[row, place] = x * vector
            else:
                shares = encoded(x, item.edges)
                expected[row, place] = start + sum(share * slopes[t] for t, share in enumerate(shares))
    torch.testing.assert_close(numbers(dense), expected, rtol=1e-4, atol=1e-4)
    assert numbers(dense[:0]).shape == (0, len(fields), DIM + first_order)


def _parts(numbers: NumberFields):
    pieces = None if numbers.pieces is None else zip(numbers.starts, numbers.pieces, strict=True)
    return numbers.vectors, pieces, numbers.missing_vectors


def test_edges_however_close_give_numbers(schema: Schema) -> None:
    numbers = NumberFields(fed_schema(schema, [("piecewise", (0.0, 1e-40, 1.0), False)]), DIM)
    assert numbers(torch.tensor([[0.0, 0.0], [0.0, 1e-40], [0.0, 0.5]])).isfinite().all()


def test_first_order_weights_begin_at_zero(schema: Schema) -> None:
    schema = fed_schema(schema, [("field", (), True), ("piecewise", (0.0, 1.0), False)])
    dense = torch.rand(ROWS, 4)
    fields = NumberFields(schema, DIM, first_order=True)(dense)
    assert not fields[..., -1].any()
    assert fields[..., :-1].any(-1).all()
    assert NumberFields(schema, 0, first_order=True)(dense).shape == (ROWS, 2, 1)


def test_fields_begin_as_embeddings_do(schema: Schema) -> None:
    # The spread of sixteen values is another one each time.
    torch.manual_seed(0)
    schema = fed_schema(schema, [("field", (), True), ("piecewise", tuple(map(float, range(200))), False)])
    for baseline in (Baseline("deepfm"), Baseline("dnn")):
        numbers = build_network(baseline, schema, embedding_std=0.01).numbers
        for name, parameter in numbers.named_parameters():
            assert parameter[..., :16].std().item() == pytest.approx(0.01, rel=0.5), name
            assert not parameter[..., 16:].any(), name
        larger = build_network(baseline, schema).numbers
        assert larger.vectors[..., :16].std() > 0.1
        assert larger(torch.tensor([[0.0, 1.0, 0.0, 200.0]])).std() < 1
    build_network(Baseline("dnn"), replace(schema, number_fields=()), embedding_std=0.01)


def test_what_a_batch_has_as_it_is_needs_nothing_before_the_network(schema: Schema) -> None:
    network = nn.Linear(1, 1)
    for same in (
        schema,
        replace(schema, dense=(DenseFeature("x", {"name": "none"}),)),
        replace(schema, reads_columns=False),
    ):
        assert fed(same, network, DIM) is network
    assert isinstance(fed(fed_schema(schema, [("field", (), False)]), network, DIM), FedNetwork)


@pytest.mark.parametrize("reads_columns", [True, False])
@pytest.mark.parametrize("name", ["lr", "deepfm", "dcnv2", "dlrm"])
def test_fields_of_numbers_come_first_and_columns_only_where_they_are_read(
    schema: Schema, shake, name: str, reads_columns: bool
) -> None:
    schema = replace(
        fed_schema(schema, [("field", (), False), ("piecewise", (0.0, 1.0, 3.0), True)]), reads_columns=reads_columns
    )
    module = shake(build_network(Baseline(name), schema)).eval()
    dense = torch.randn(ROWS, 4)
    embedded = torch.randn(ROWS, 5, (0 if name == "lr" else 16) + (name in ("lr", "deepfm")))
    given = torch.cat([module.numbers(dense), embedded], dim=1)
    columns = dense if reads_columns else torch.zeros(ROWS, 1)
    torch.testing.assert_close(module(dense, embedded), module.network(columns, given))
    assert given.shape[1] == schema.num_fields == 7
    assert schema.num_columns == (4 if reads_columns else 0)


@pytest.mark.parametrize("space", ["nasrec-full", "nasrec-cross"])
@pytest.mark.parametrize("reads_columns", [True, False])
def test_a_candidate_of_a_fed_supernet_is_extracted_with_its_fields(
    schema: Schema, lookups, sample, shake, space: str, reads_columns: bool
) -> None:
    schema = replace(fed_schema(schema, [("piecewise", (0.0, 1.0), True)]), reads_columns=reads_columns)
    supernet = shake(Supernet(schema, WholeEmbeddings(schema, 16), SearchSpace.named(space)))
    fields, dense = supernet.embeddings(lookups(ROWS)[1]).detach(), torch.randn(ROWS, 2)
    for arch in sample(space, 3):
        slices = WeightSlices()
        logits = supernet.network(dense, fields, arch, slices)
        logits.sum().backward()
        # What the fields of numbers are made of is learned like all else.
        assert {"pieces", "starts", "missing_vectors"} == {
            name
            for name, parameter in supernet.network.numbers.named_parameters()
            if any(item.parameter is parameter and item.leaf.grad is not None for item in slices.taken)
        }
        finished = supernet.network.extract(arch)
        torch.testing.assert_close(finished(dense, fields), logits, rtol=1e-4, atol=1e-4)
        assert finished.state_dict().keys() == searched_network(schema, arch).state_dict().keys()
        assert network_of(finished) == arch.canonical()
        assert count_macs(arch, schema) == cost.macs(arch, 2 if reads_columns else 1, 6, 16) + 16


def test_a_searched_network_of_plain_inputs_is_as_it_was(schema: Schema, sample) -> None:
    (arch,) = sample("nasrec-cross", 1)
    plain = replace(schema, dense=(DenseFeature("x", {"name": "none"}),))
    torch.manual_seed(0)
    network = build_network(arch, plain)
    assert not any(name.startswith(("network.", "numbers.")) for name in network.state_dict())
    assert (network.num_dense, network.num_sparse, network.dropout) == (1, 5, 0.0)


def test_dropout_of_a_searched_network_is_in_training_only(schema: Schema, sample, shake) -> None:
    (arch,) = sample("nasrec-full", 1, seed=3)
    network = shake(build_network(arch, schema, dropout=0.5))
    dense, fields = torch.zeros(ROWS, 1), torch.randn(ROWS, 5, 16)
    assert not torch.equal(network(dense, fields), network(dense, fields))
    network.eval()
    assert torch.equal(network(dense, fields), network(dense, fields))
    model = CTRModel(schema, WholeEmbeddings(schema, 16), network)
    assert model.network is network
