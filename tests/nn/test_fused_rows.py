"""Tables learn and decay as plain torch optimisers and whole tables that decay at every step would, in float64."""

import random
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchrec import KeyedJaggedTensor

from recnas.candidates.embedding_optimizer import NAMES, EmbeddingOptimizer
from recnas.features.feature import SparseFeature
from recnas.features.schema import SPLITS, Schema
from recnas.nn import embeddings as embeddings_module
from recnas.nn import planning, row_decay
from recnas.nn.embeddings import ShardedEmbeddings
from recnas.util.errors import InputError

DIM = 4
PARTS = (SparseFeature("a", 3), SparseFeature("b", 4))
SCHEMA = Schema(
    label="click",
    dense=(),
    sparse=(
        SparseFeature("user", 40),
        SparseFeature("tags", 9, pooling="mean", multi_valued=True),
        SparseFeature("words", 300, pooling="sum", multi_valued=True),
        SparseFeature("a × b", 12, joint=PARTS, kept=tuple(range(10)), unseen="shared"),
    ),
    splits={split: {"rows": 10, "positives": 3} for split in SPLITS},
)


def _ids(rng: random.Random, rows: int, within: int) -> list[list[list[int]]]:
    """Ids by feature and row, of the first rows of each table; lists may be empty, and have an id twice."""
    return [
        [
            [rng.randrange(min(within, feature.rows)) for _ in range(rng.randint(0, 4) if feature.multi_valued else 1)]
            for _ in range(rows)
        ]
        for feature in SCHEMA.sparse
    ]


def _sparse(ids: list[list[list[int]]]) -> KeyedJaggedTensor:
    return KeyedJaggedTensor(
        keys=[feature.name for feature in SCHEMA.sparse],
        values=torch.tensor([row for feature in ids for example in feature for row in example], dtype=torch.int64),
        lengths=torch.tensor([len(example) for feature in ids for example in feature], dtype=torch.int32),
    )


class Reference:
    """Tables whose every row is a parameter of its own, learned in double precision.

    An optimiser of torch leaves a parameter without a gradient alone, as lazy optimisers leave rows.
    """

    def __init__(self, tables: dict[str, Tensor], optimizer: EmbeddingOptimizer) -> None:
        self.how = optimizer
        self.rows = {name: [row.clone().double().requires_grad_() for row in table] for name, table in tables.items()}
        self.rowwise = optimizer.name.startswith("rowwise")
        parameters = [row for rows in self.rows.values() for row in rows]
        betas = (optimizer.beta1, 0.999)
        self.torch = (
            torch.optim.Adam(parameters, betas=betas, eps=optimizer.eps)
            if optimizer.is_adam
            else torch.optim.Adagrad(parameters, eps=optimizer.eps)
        )
        self.moments = dict.fromkeys(parameters, 0.0)
        self.averages, self.counts = dict(self.moments), dict.fromkeys(parameters, 0)

    def fields(self, ids: list[list[list[int]]]) -> Tensor:
        pooled = []
        for feature, examples in zip(SCHEMA.sparse, ids, strict=True):
            rows = self.rows[feature.name]
            for example in examples:
                found = torch.stack([rows[row] for row in example]) if example else torch.zeros(1, DIM).double()
                pooled.append(found.mean(0) if feature.pooling == "mean" else found.sum(0))
        return torch.stack(pooled).unflatten(0, (len(ids), -1)).transpose(0, 1)

    @torch.no_grad()
    def step(self, rate: float) -> None:
        for group in self.torch.param_groups:
            group["lr"] = rate
        if self.rowwise:
            for row in self.moments:
                self._row_step(row, rate)
        else:
            self.torch.step()
        for name, rows in self.rows.items():
            penalty = self.how.penalty_of(joint=name == "a × b")
            for row in rows:
                second = self._second(row)
                if second is not None:
                    left = torch.exp(-rate * penalty / (second.sqrt() + self.how.eps))
                    row *= torch.where(second > 0, left, 1.0)
        self.torch.zero_grad()

    def _row_step(self, row: Tensor, rate: float) -> None:
        """Of the row-wise optimisers, which torch does not have."""
        if row.grad is None:
            return
        square = row.grad.square().mean()
        if not self.how.is_adam:
            self.moments[row] = self.moments[row] + square
            row -= rate * row.grad / (self.moments[row].sqrt() + self.how.eps)
            return
        self.counts[row] += 1
        self.moments[row] = 0.999 * self.moments[row] + 0.001 * square
        self.averages[row] = self.how.beta1 * self.averages[row] + (1 - self.how.beta1) * row.grad
        average = self.averages[row] / (1 - self.how.beta1 ** self.counts[row])
        row -= rate * average / (self._second(row).sqrt() + self.how.eps)

    def _second(self, row: Tensor) -> Tensor | None:
        """The second moment by whose root the last update was divided."""
        if self.rowwise:
            moment, count = self.moments[row], self.counts[row]
            if not isinstance(moment, Tensor):
                return None
        elif not self.how.is_adam:
            return self.torch.state[row]["sum"]
        elif row not in self.torch.state:
            return None
        else:
            moment, count = self.torch.state[row]["exp_avg_sq"], self.torch.state[row]["step"].item()
        return moment / (1 - 0.999**count) if self.how.is_adam else moment

    def check(self, tables: dict[str, Tensor]) -> None:
        for name, table in tables.items():
            torch.testing.assert_close(table.double(), torch.stack(self.rows[name]).detach(), rtol=1e-4, atol=2e-5)


def _learn(embeddings: ShardedEmbeddings, reference: Reference, seed: int, rates: list[float]) -> None:
    rng, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    for rate in rates:
        rows = rng.randint(1, 6)
        ids = _ids(rng, rows, rng.choice((1, 3, 1000)))
        weight = torch.randn(rows, len(SCHEMA.sparse), DIM, generator=generator)
        embeddings.set_learning_rate(rate)
        fields, expected = embeddings(_sparse(ids)), reference.fields(ids)
        torch.testing.assert_close(fields.double(), expected, rtol=1e-4, atol=1e-4)
        (fields * weight).sum().backward()
        (expected * weight).sum().backward()
        reference.step(rate)


OPTIMIZERS = st.builds(
    EmbeddingOptimizer,
    st.sampled_from(NAMES),
    st.sampled_from((1e-3, 1e-1)),
    st.sampled_from((0.0, 1e-3, 0.1)),
    st.sampled_from((None, 0.0, 0.3)),
    st.sampled_from((0.9, 0.0)),
)


@settings(max_examples=25, deadline=None)
@given(OPTIMIZERS, st.integers(0, 1000), st.lists(st.sampled_from((0.0, 0.01, 0.1, 0.3)), min_size=1, max_size=12))
def test_tables_learn_and_decay_as_a_plain_optimiser_lets_them(
    optimizer: EmbeddingOptimizer, seed: int, rates: list[float]
) -> None:
    torch.manual_seed(seed)
    embeddings = ShardedEmbeddings(SCHEMA, DIM, optimizer)
    reference = Reference(embeddings.tables(), optimizer)
    _learn(embeddings, reference, seed, rates)
    reference.check(embeddings.tables())
    # What is read whole is brought up to date, and goes on.
    _learn(embeddings, reference, seed + 1, rates)
    reference.check(embeddings.tables())


@pytest.fixture
def by_fbgemm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decay on top of FBGEMM's kernels, as on CUDA devices."""
    for module in (planning, embeddings_module):
        monkeypatch.setattr(module, "learns_by_fbgemm", lambda optimizer, device: True)
    monkeypatch.setattr(row_decay, "ROWS_AT_ONCE", 3)


@pytest.mark.parametrize("name", ["rowwise-adagrad", "adagrad"])
@pytest.mark.usefixtures("by_fbgemm")
def test_rows_that_fbgemm_updates_decay_as_well(name: str) -> None:
    torch.manual_seed(0)
    optimizer = EmbeddingOptimizer(name, 1e-2, 1e-2, 0.1)
    embeddings = ShardedEmbeddings(SCHEMA, DIM, optimizer)
    reference = Reference(embeddings.tables(), optimizer)
    for seed in range(3):
        _learn(embeddings, reference, seed, [0.1, 0.3, 0.0, 0.01, 0.1])
        reference.check(embeddings.tables())


@pytest.mark.parametrize("name", NAMES)
def test_a_first_order_weight_learns_and_decays_as_a_single_number_does(name: str) -> None:
    torch.manual_seed(0)
    optimizer = EmbeddingOptimizer(name, 1e-2, 1e-2)
    embeddings = ShardedEmbeddings(SCHEMA, 0, optimizer, first_order=True)
    # A row of equal elements, each with the whole gradient, is one number; eps is of a quarter of it.
    tables = {feature.name: torch.zeros(feature.rows, DIM) for feature in SCHEMA.sparse}
    reference = Reference(tables, replace(optimizer, eps=4e-2))
    rng, generator = random.Random(0), torch.Generator().manual_seed(0)
    for rate in (0.1, 0.3, 0.0, 0.01, 0.1, 0.2):
        ids, weight = _ids(rng, 5, 1000), torch.randn(5, len(SCHEMA.sparse), 1, generator=generator)
        embeddings.set_learning_rate(rate)
        (embeddings(_sparse(ids)) * weight).sum().backward()
        (reference.fields(ids) * weight).sum().backward()
        reference.step(rate)
        found = embeddings.tables(first_order=True)
        assert all(torch.equal(table, table[:, :1].expand_as(table)) for table in found.values())
        reference.check(found)


@pytest.fixture
def take(lookups: Callable[..., tuple]) -> Callable[..., Tensor]:
    """Takes a step of tables on rows with a number."""

    def one(embeddings: ShardedEmbeddings, number: int, rows: int = 16) -> None:
        embeddings.set_learning_rate(0.1 / (1 + number))
        fields = embeddings(lookups(rows, seed=number)[1])
        (fields * torch.randn(fields.shape, generator=torch.Generator().manual_seed(number))).sum().backward()

    return one


DECAYING = EmbeddingOptimizer("adam", 1e-3, 1e-2)


def _tensors(embeddings: ShardedEmbeddings) -> Iterator[Tensor]:
    for first_order in (False, True):
        yield from embeddings.tables(first_order).values()
        for tensors in embeddings.optimizer_state(first_order).values():
            yield from tensors.values()


@pytest.mark.parametrize("name", NAMES)
def test_reading_changes_nothing(name: str, schema: Schema, lookups, take) -> None:
    optimizer = replace(DECAYING, name=name)
    found = []
    for reads in (False, True):
        torch.manual_seed(0)
        embeddings = ShardedEmbeddings(schema, DIM, optimizer, first_order=True)
        for number in range(4):
            take(embeddings, number)
            if reads:
                with torch.no_grad():
                    embeddings(lookups(50, seed=9)[1])
                # A graph that is cut is no step.
                embeddings(lookups(50, seed=8)[1]).detach()
                embeddings.unsettled_tables()
        found.append(list(_tensors(embeddings)))
    assert all(torch.equal(first, second) for first, second in zip(*found, strict=True))


def test_what_is_learned_does_not_depend_on_the_number_of_threads(schema: Schema, take, monkeypatch) -> None:
    found = []
    before = torch.get_num_threads()
    for threads in (1, 2, 5):
        torch.manual_seed(0)
        embeddings = ShardedEmbeddings(schema, DIM, DECAYING, first_order=True)
        torch.set_num_threads(threads)
        try:
            for number in range(3):
                take(embeddings, number, rows=3000)
        finally:
            torch.set_num_threads(before)
        found.append(list(_tensors(embeddings)))
    for others in found[1:]:
        assert all(torch.equal(first, second) for first, second in zip(found[0], others, strict=True))


def test_a_row_that_a_table_does_not_have_is_refused(schema: Schema, lookups) -> None:
    _, sparse = lookups(5)
    for wrong in (-1, 40, 2**62):
        values = sparse.values().clone()
        values[0] = wrong
        broken = KeyedJaggedTensor(sparse.keys(), values, lengths=sparse.lengths())
        with pytest.raises(IndexError, match=f"an embedding table has no row {wrong}"):
            ShardedEmbeddings(schema, DIM, DECAYING)(broken)


def test_a_batch_without_rows_is_a_step(schema: Schema) -> None:
    embeddings = ShardedEmbeddings(schema, DIM, DECAYING)
    none = KeyedJaggedTensor(
        embeddings.features, torch.zeros(0, dtype=torch.int64), lengths=torch.zeros(0, dtype=torch.int32)
    )
    embeddings.set_learning_rate(0.5)
    fields = embeddings(none)
    assert fields.shape == (0, len(schema.sparse), DIM)
    fields.sum().backward()
    assert embeddings.decay_state()["rates"].item() == 0.5


def test_embeddings_start_with_the_deviation_that_is_asked_for(schema: Schema) -> None:
    tables = ShardedEmbeddings(schema, 64, std=0.01).tables().values()
    torch.testing.assert_close(torch.cat(list(tables)).std().item(), 0.01, rtol=0.05, atol=0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "sgd"}, "no embedding optimiser is named 'sgd'; known are rowwise-adagrad, adagrad, adam"),
        ({"penalty": -1.0}, "the embeddings' penalty is -1.0"),
        ({"cross_penalty": float("nan")}, "the embeddings' cross_penalty is nan"),
        ({"beta1": 1.0}, "the embeddings' beta1 is 1.0"),
    ],
)
def test_an_optimiser_that_cannot_be_is_refused(changes: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        EmbeddingOptimizer(**changes)
