"""Short trainings against a model on the whole tables, trained by the same loop."""

from __future__ import annotations

import math
import random

import pytest
import torch
from torchrec import KeyedJaggedTensor

from recnas.data import Batch
from recnas.nn.embeddings import EmbeddingOptimizer, ShardedEmbeddings
from recnas.nn.model import CTRModel, found_network
from recnas.nn.network import EMBEDDING_DIM
from recnas.proxies import BriefTraining
from recnas.proxies.brief import renumbered
from recnas.schema import Schema, SparseFeature
from recnas.space import SPACES, Architecture, SearchSpace
from recnas.train.loop import ModelLearner, train
from recnas.train.metrics import Metrics
from recnas.train.settings import Optimization

SPLITS = {name: {"rows": 10, "positives": 5} for name in ("train", "validation", "test")}
OPTIMIZATION = Optimization(0.02, 16)


def draw(space: str, seed: int = 0) -> Architecture:
    return SearchSpace.named(space).sample(random.Random(seed))


@pytest.mark.parametrize("space", SPACES)
def test_it_is_the_training_of_a_model_with_whole_tables(space: str, dataset) -> None:
    brief, arch = BriefTraining(dataset, 40, 40, OPTIMIZATION, seed=3), draw(space)
    embeddings = ShardedEmbeddings(dataset.schema, EMBEDDING_DIM, EmbeddingOptimizer("rowwise-adagrad", 1e-2))
    torch.manual_seed(3)
    model = CTRModel(dataset.schema, embeddings, found_network(dataset.schema, arch))
    batches = list(dataset.batches("train", 16, seed=3, rows=40))
    for name, table in embeddings.tables().items():
        # Rows that the training does not touch all begin, and stay, as one.
        *touched, rest = brief.material.tables[name]
        table[:] = rest
        seen = torch.cat([batch.sparse[name].values() for batch in batches]).unique()
        table[seen] = torch.stack(touched)
    train(ModelLearner(model, OPTIMIZATION), batches, steps=len(batches), learning_rate=0.02)
    metrics = Metrics()
    with torch.no_grad():
        for batch in dataset.batches("validation", 1024, seed=3, rows=40):
            metrics.update(model(batch), batch.label)
    assert brief.log_loss(arch) == pytest.approx(metrics.log_loss(), rel=1e-5)


def test_it_is_the_same_twice_and_another_with_another_seed(dataset) -> None:
    arch = draw("nasrec-small")
    one, again, other = (BriefTraining(dataset, 40, 40, OPTIMIZATION, seed=seed) for seed in (3, 3, 4))
    assert one.log_loss(arch) == one.log_loss(arch) == again.log_loss(arch) != other.log_loss(arch)


def test_what_diverges_has_no_log_loss(dataset) -> None:
    brief = BriefTraining(dataset, 40, 40, Optimization(1e30, 16), seed=3)
    assert math.isnan(brief.log_loss(draw("nasrec-small")))


def test_tables_have_only_the_rows_that_are_touched(dataset) -> None:
    brief = BriefTraining(dataset, 2, 40, OPTIMIZATION, seed=3)
    assert all(len(table) <= 2 * 3 + 1 for table in brief.material.tables.values())
    for feature, table in zip(brief.material.schema.sparse, brief.material.tables.values(), strict=True):
        assert feature.rows == len(table)


def test_a_list_that_is_empty_in_every_row_touches_no_row() -> None:
    schema = Schema("label", (), (SparseFeature("tags", 9, multi_valued=True),), SPLITS)
    sparse = KeyedJaggedTensor(keys=["tags"], values=torch.tensor([4, 7]), lengths=torch.tensor([0, 2]))
    batch = Batch(torch.zeros(2, 1), sparse, torch.zeros(2))
    assert renumbered(batch, schema, [torch.tensor([0])]).sparse.values().tolist() == [1, 1]
    assert renumbered(batch, schema, [torch.tensor([4])]).sparse.values().tolist() == [0, 1]
