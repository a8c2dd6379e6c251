"""Embedding tables: what is looked up, and what a step of training leaves behind."""

from dataclasses import replace

import pytest
import torch

from recnas.candidates.embedding_optimizer import NAMES, EmbeddingOptimizer
from recnas.features.feature import SparseFeature
from recnas.features.schema import Schema
from recnas.nn.embeddings import Embeddings, ShardedEmbeddings, WholeEmbeddings

DIM, ROWS = 16, 24
RATE, EPS = 0.1, 1e-3


def _fields(schema: Schema, tables: dict[str, torch.Tensor], ids: list[list[list[int]]]) -> torch.Tensor:
    """Plain lookups: `[B, n₀, E]`."""
    columns = []
    for feature, examples in zip(schema.sparse, ids, strict=True):
        pooled = [tables[feature.name][example] for example in examples]
        columns.append(torch.stack([x.mean(0) if feature.pooling == "mean" else x.sum(0) for x in pooled]))
    return torch.stack(columns, dim=1)


def _copies(embeddings: Embeddings) -> dict[str, torch.Tensor]:
    return {name: table.clone() for name, table in embeddings.tables().items()}


def _step(embeddings: ShardedEmbeddings, sparse, weight: torch.Tensor) -> None:
    """One training step of the loss Σ weight · fields."""
    (embeddings(sparse) * weight).sum().backward()


@pytest.fixture(params=[WholeEmbeddings, ShardedEmbeddings])
def embeddings(request: pytest.FixtureRequest, schema: Schema) -> Embeddings:
    torch.manual_seed(0)
    return request.param(schema, DIM)


def test_fields_are_the_pooled_rows_of_the_tables(embeddings: Embeddings, schema: Schema, lookups) -> None:
    ids, sparse = lookups(ROWS)
    torch.testing.assert_close(embeddings(sparse), _fields(schema, embeddings.tables(), ids))


def test_tables_have_the_schemas_rows_and_start_xavier_normal(embeddings: Embeddings, schema: Schema) -> None:
    tables = embeddings.tables()
    assert {name: tuple(table.shape) for name, table in tables.items()} == {
        feature.name: (feature.rows, DIM) for feature in schema.sparse
    }
    spread = [(table / (2 / (len(table) + DIM)) ** 0.5).flatten() for table in tables.values()]
    torch.testing.assert_close(torch.cat(spread).std().item(), 1.0, rtol=0.1, atol=0)


@pytest.mark.parametrize("kind", [WholeEmbeddings, ShardedEmbeddings])
@pytest.mark.parametrize("cap", [None, 4])
def test_what_unseen_values_share_starts_at_0_and_nothing_else_does(schema: Schema, kind, cap: int | None) -> None:
    kept = SparseFeature("site", 7, kept=(1, 3, 5, 7, 9))
    schema = replace(schema, sparse=(replace(kept, unseen="shared"), replace(kept, name="missing"))).capped(cap)
    tables = kind(schema, DIM).tables()
    zeros = {name: [row for row, values in enumerate(table) if not values.any()] for name, table in tables.items()}
    # In a capped table the row is that of known values, too.
    assert zeros == {"site": [6] if cap is None else [], "missing": []}


def test_tables_can_be_moved_between_whole_and_sharded_embeddings(schema: Schema, lookups) -> None:
    _, sparse = lookups(ROWS)
    whole, sharded, again = WholeEmbeddings(schema, DIM), ShardedEmbeddings(schema, DIM), WholeEmbeddings(schema, DIM)
    sharded.load_tables(whole.tables())
    again.load_tables(sharded.tables())
    # Their kernels pool several rows in different orders.
    torch.testing.assert_close(sharded(sparse), whole(sparse))
    assert torch.equal(again(sparse), whole(sparse))


def test_tables_are_views_of_the_live_ones(embeddings: Embeddings, schema: Schema, lookups) -> None:
    ids, sparse = lookups(ROWS)
    for table in embeddings.tables().values():
        table.fill_(2.0)
    expected = _fields(schema, {feature.name: torch.full((feature.rows, DIM), 2.0) for feature in schema.sparse}, ids)
    torch.testing.assert_close(embeddings(sparse), expected)


@pytest.mark.parametrize("optimizer", NAMES)
def test_tables_do_not_move_before_a_learning_rate_is_set_nor_at_zero(optimizer: str, schema: Schema, lookups) -> None:
    _, sparse = lookups(ROWS)
    embeddings = ShardedEmbeddings(schema, DIM, EmbeddingOptimizer(optimizer))
    before = _copies(embeddings)
    _step(embeddings, sparse, torch.ones(ROWS, 5, DIM))
    embeddings.set_learning_rate(0.0)
    _step(embeddings, sparse, torch.ones(ROWS, 5, DIM))
    assert all(torch.equal(table, before[name]) for name, table in embeddings.tables().items())


@pytest.mark.parametrize("optimizer", ["rowwise-adagrad", "adagrad"])
def test_tables_learn_by_adagrad_at_the_rate_that_was_set(optimizer: str, schema: Schema, lookups) -> None:
    torch.manual_seed(1)
    embeddings = ShardedEmbeddings(schema, DIM, EmbeddingOptimizer(optimizer, EPS))
    tables = _copies(embeddings)
    rowwise = optimizer == "rowwise-adagrad"
    sums = {name: torch.zeros(len(table), 1 if rowwise else DIM) for name, table in tables.items()}
    for step, rate in enumerate((RATE, RATE / 10, 3 * RATE)):
        ids, sparse = lookups(ROWS, seed=step)
        weight = torch.randn(ROWS, len(tables), DIM)
        embeddings.set_learning_rate(rate)
        _step(embeddings, sparse, weight)
        leaves = {name: table.clone().requires_grad_() for name, table in tables.items()}
        (_fields(schema, leaves, ids) * weight).sum().backward()
        for name, leaf in leaves.items():
            squares = leaf.grad.square()
            sums[name] += squares.mean(1, keepdim=True) if rowwise else squares
            tables[name] -= rate * leaf.grad / (sums[name].sqrt() + EPS)
        for name, table in embeddings.tables().items():
            torch.testing.assert_close(table, tables[name], rtol=1e-4, atol=1e-5)
            state = embeddings.optimizer_state()["sum"][name]
            torch.testing.assert_close(state.view_as(sums[name]), sums[name], rtol=1e-4, atol=1e-5)


def test_every_table_trains_whatever_its_size(schema: Schema, lookups) -> None:
    embeddings = ShardedEmbeddings(schema, DIM)
    before = _copies(embeddings)
    embeddings.set_learning_rate(RATE)
    ids, sparse = lookups(ROWS)
    _step(embeddings, sparse, torch.ones(ROWS, 5, DIM))
    for feature, examples in zip(schema.sparse, ids, strict=True):
        moved = (embeddings.tables()[feature.name] != before[feature.name]).any(1)
        assert set(moved.nonzero().flatten().tolist()) == {row for example in examples for row in example}


def test_optimizer_state_can_be_moved(schema: Schema, lookups) -> None:
    first, second = ShardedEmbeddings(schema, DIM), ShardedEmbeddings(schema, DIM)
    first.set_learning_rate(RATE)
    _step(first, lookups(ROWS)[1], torch.ones(ROWS, 5, DIM))
    second.load_tables(first.tables())
    for name, sums in second.optimizer_state()["sum"].items():
        sums.copy_(first.optimizer_state()["sum"][name])
    second.set_learning_rate(RATE)
    for embeddings in (first, second):
        _step(embeddings, lookups(ROWS, seed=1)[1], torch.ones(ROWS, 5, DIM))
    for name, table in first.tables().items():
        assert torch.equal(table, second.tables()[name])
        assert torch.equal(first.optimizer_state()["sum"][name], second.optimizer_state()["sum"][name])


def test_a_cut_graph_leaves_the_tables_alone(schema: Schema, lookups) -> None:
    embeddings = ShardedEmbeddings(schema, DIM)
    embeddings.set_learning_rate(RATE)
    before = _copies(embeddings)
    fields = embeddings(lookups(ROWS)[1]).detach().requires_grad_()
    fields.square().sum().backward()
    torch.testing.assert_close(fields.grad, 2 * fields.detach())
    assert all(torch.equal(table, before[name]) for name, table in embeddings.tables().items())


def _weights(schema: Schema, weights: dict[str, torch.Tensor], ids: list[list[list[int]]]) -> torch.Tensor:
    """Plain lookups of first-order weights, one column a table: `[B, n₀]`."""
    return _fields(schema, {name: weight.unsqueeze(1) for name, weight in weights.items()}, ids).squeeze(-1)


@pytest.mark.parametrize("kind", [WholeEmbeddings, ShardedEmbeddings])
@pytest.mark.parametrize("dim", [0, DIM])
def test_first_order_weights_start_at_zero_and_are_the_last_column(
    kind: type[Embeddings], dim: int, schema: Schema, lookups
) -> None:
    ids, sparse = lookups(ROWS)
    embeddings = kind(schema, dim, first_order=True)
    fields = embeddings(sparse)
    assert fields.shape == (ROWS, len(schema.sparse), dim + 1)
    assert not fields[..., -1].any()
    torch.manual_seed(3)
    weights = {feature.name: torch.randn(feature.rows) for feature in schema.sparse}
    for name, table in embeddings.tables(first_order=True).items():
        table.copy_(weights[name].unsqueeze(1).expand_as(table))
    fields = embeddings(sparse)
    torch.testing.assert_close(fields[..., -1], _weights(schema, weights, ids))
    if dim:
        torch.testing.assert_close(fields[..., :-1], _fields(schema, embeddings.tables(), ids))
    else:
        assert embeddings.tables() == {}


def test_without_first_order_weights_there_are_no_tables_of_them(embeddings: Embeddings) -> None:
    assert embeddings.tables(first_order=True) == {}


@pytest.mark.parametrize("optimizer", ["rowwise-adagrad", "adagrad"])
@pytest.mark.parametrize("dim", [0, DIM])
def test_a_first_order_weight_learns_as_a_single_number_does(optimizer: str, dim: int, schema: Schema, lookups) -> None:
    torch.manual_seed(1)
    embeddings = ShardedEmbeddings(schema, dim, EmbeddingOptimizer(optimizer, EPS), first_order=True)
    weights = {feature.name: torch.zeros(feature.rows) for feature in schema.sparse}
    sums = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    for step, rate in enumerate((RATE, RATE / 10, 3 * RATE)):
        ids, sparse = lookups(ROWS, seed=step)
        scale = torch.randn(ROWS, len(weights), dim + 1)
        embeddings.set_learning_rate(rate)
        _step(embeddings, sparse, scale)
        leaves = {name: weight.clone().requires_grad_() for name, weight in weights.items()}
        (_weights(schema, leaves, ids) * scale[..., -1]).sum().backward()
        for name, leaf in leaves.items():
            sums[name] += leaf.grad.square()
            weights[name] -= rate * leaf.grad / (sums[name].sqrt() + 4 * EPS)
        for name, table in embeddings.tables(first_order=True).items():
            assert torch.equal(table, table[:, :1].expand_as(table))
            torch.testing.assert_close(table[:, 0], weights[name], rtol=1e-4, atol=1e-5)
