"""Whole models: a candidate's model is the supernet's answer on its own, tables included."""

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch

from recnas.candidates.families import FAMILIES
from recnas.data import Batch, batch_of
from recnas.features.schema import Schema
from recnas.nn.baselines.registry import find_baseline
from recnas.nn.embeddings import ShardedEmbeddings, WholeEmbeddings
from recnas.nn.model import CTRModel, Supernet, count_dense_parameters, searched_network
from recnas.space import SPACES, SearchSpace, cost

ROWS = 12


@pytest.fixture
def batch(lookups) -> Batch:
    return Batch(torch.zeros(ROWS, 1), lookups(ROWS)[1], torch.zeros(ROWS))


def test_an_extracted_model_answers_as_its_supernet_and_keeps_nothing_of_it(
    schema: Schema, batch: Batch, sample
) -> None:
    supernet = Supernet(schema, ShardedEmbeddings(schema, 16), SearchSpace.named("nasrec-small"))
    with torch.no_grad():
        for arch in sample("nasrec-small", 3):
            expected, model = supernet(batch, arch), supernet.extract(arch)
            torch.testing.assert_close(model(batch), expected, rtol=1e-4, atol=1e-5)
            for table in supernet.embeddings.tables().values():
                table.add_(1)
            torch.testing.assert_close(model(batch), expected, rtol=1e-4, atol=1e-5)


def test_every_model_answers_no_rows_with_no_logits(schema: Schema, sample) -> None:
    nothing = batch_of(schema.encode([]), schema)
    assert len(nothing) == 0
    archs = [arch for space in SPACES for arch in sample(space, 6)]
    models = [CTRModel(schema, WholeEmbeddings(schema, 16), searched_network(schema, arch)) for arch in archs]
    for baseline in map(find_baseline, FAMILIES):
        embeddings = WholeEmbeddings(schema, baseline.dim, first_order=baseline.first_order)
        models.append(CTRModel(schema, embeddings, baseline.network(schema)))
    models.append(CTRModel(schema, ShardedEmbeddings(schema, 16), searched_network(schema, archs[0])))
    with torch.no_grad():
        for model in models:
            assert model.eval()(nothing).shape == (0,)


def test_no_rows_are_encoded_from_a_table_of_every_kind(schema: Schema) -> None:
    for rows in ([], (), pl.DataFrame(), pl.DataFrame({"user": []}), pd.DataFrame(), pa.table({})):
        encoded = schema.encode(rows)
        assert (encoded.dense.shape, encoded.ids.shape) == ((0, 1), (0, 3))
        assert [(len(item.values), item.offsets.tolist()) for item in encoded.lists] == [(0, [0])] * 2


def test_a_searched_network_is_fresh_and_holds_no_dead_part(schema: Schema, batch: Batch, sample) -> None:
    for arch in sample("nasrec-full", 5):
        model = CTRModel(schema, WholeEmbeddings(schema, 16), searched_network(schema, arch))
        assert model(batch).shape == (ROWS,)
        assert count_dense_parameters(model) == cost.parameters(arch, 1, 5, 16)
        assert model.network.architecture == arch.canonical()


def test_beside_a_cross_network_blocks_begin_without_a_say(schema: Schema, sample) -> None:
    for arch in sample("nasrec-cross", 5):
        dense, fields = torch.randn(ROWS, 1), torch.randn(ROWS, 5, 16)
        network = searched_network(schema, arch)
        crossed = network.cross(dense, fields, dict(arch.branches)["cross"])
        expected = crossed @ network.last.weight["cross"]
        torch.testing.assert_close(network(dense, fields), expected)
        assert expected.abs().max() > 0
        network(dense, fields).sum().backward()
        # What they can do is there to be learned from the first step on.
        assert any(weight.grad.any() for name, weight in network.last.weight.items() if name != "cross")
    (plain,) = sample("nasrec-small", 1)
    assert all(weight.any() for weight in searched_network(schema, plain).last.weight.values())
