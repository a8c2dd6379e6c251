"""PROFIT's search: it finds what was planted, order after order, and hangs on the seed alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torchrec import KeyedJaggedTensor

from recnas.candidates.defaults import DEFAULT_RECIPE
from recnas.candidates.network import Baseline
from recnas.data import Batch
from recnas.features.feature import SparseFeature
from recnas.features.schema import SPLITS, Schema
from recnas.nn.baselines.profit import Entries
from recnas.nn.baselines.registry import find_baseline
from recnas.nn.embeddings import ShardedEmbeddings
from recnas.nn.model import CTRModel
from recnas.train.interactions import find_interactions

FIELDS, ROWS, STEPS = 6, 256, 240
SCHEMA = Schema(
    "y", (), tuple(SparseFeature(f"f{n}", 2) for n in range(FIELDS)), {s: {"rows": 9, "positives": 3} for s in SPLITS}
)


def batches(planted: tuple[int, ...], seed: int = 0) -> Iterator[Batch]:
    """Rows of independent coins, clicked as an odd or an even number of the planted ones came up; now and then not."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(STEPS):
        ids = torch.randint(2, (FIELDS, ROWS), generator=generator)
        noise = torch.rand(ROWS, generator=generator) < 0.1
        label = ((ids[list(planted)].sum(0) % 2).bool() ^ noise).float()
        names = [feature.name for feature in SCHEMA.sparse]
        sparse = KeyedJaggedTensor(names, ids.flatten(), lengths=torch.ones(FIELDS * ROWS, dtype=torch.int32))
        yield Batch(torch.zeros(ROWS, 1), sparse, label)


def found(planted: tuple[int, ...], order: int, rank: int = 1, seed: int = 0) -> Entries:
    torch.manual_seed(seed)
    optimization = DEFAULT_RECIPE.optimization
    embeddings = ShardedEmbeddings(SCHEMA, 16, optimization.of_tables, "cpu", True, std=0.3)
    network = find_baseline("profit").network(SCHEMA, Baseline("profit", {"order": order, "rank": rank, "kept": 8}), 16)
    model = CTRModel(SCHEMA, embeddings, network)
    return find_interactions(model, optimization, lambda k: batches(planted, k))


@pytest.mark.parametrize("rank", [1, 2])
@pytest.mark.parametrize("planted", [(1, 4), (0, 2)])
def test_a_planted_pair_is_the_largest_entry(planted: tuple[int, int], rank: int) -> None:
    sets, weights = found(planted, 2, rank)[2]
    assert tuple(sets[0].tolist()) == planted
    assert weights.abs()[0] > 1.2 * weights.abs()[1]


def test_a_planted_triple_is_the_largest_entry_of_its_order() -> None:
    entries = found((0, 2, 5), 3)
    assert sorted(entries) == [2, 3]
    sets, weights = entries[3]
    assert tuple(sets[0].tolist()) == (0, 2, 5)
    assert weights.abs()[0] > 1.2 * weights.abs()[1]


def test_the_search_hangs_on_the_seed_alone() -> None:
    first, second, other = (found((1, 4), 2, seed=seed)[2] for seed in (3, 3, 4))
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])
    assert not torch.equal(first[1], other[1])
