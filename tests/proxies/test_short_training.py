"""Short trainings against a model on the whole tables, trained by the same loop."""

from __future__ import annotations

import math
import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch
from torchrec import KeyedJaggedTensor

from recnas.candidates.defaults import DEFAULT_RECIPE
from recnas.candidates.recipe import Optimization, Recipe
from recnas.data import Batch
from recnas.features.feature import SparseFeature
from recnas.features.schema import Schema
from recnas.nn.embeddings import EmbeddingOptimizer, ShardedEmbeddings
from recnas.nn.model import CTRModel, searched_network
from recnas.nn.network import EMBEDDING_DIM
from recnas.proxies.short_training import ShortTraining, renumbered
from recnas.space import SPACES, Architecture, SearchSpace
from recnas.train.loop import ModelLearner, train

SPLITS = {name: {"rows": 10, "positives": 5} for name in ("train", "validation", "test")}
RECIPE = Recipe(Optimization(0.02, 16))


def draw(space: str, seed: int = 0) -> Architecture:
    return SearchSpace.named(space).sample(random.Random(seed))


@pytest.mark.parametrize(("batch_size", "steps", "measured"), [(8, 5, 2), (10, 4, 1), (40, 1, 1)])
@pytest.mark.parametrize("space", SPACES)
def test_it_is_the_loss_at_the_end_of_the_training_of_a_model_with_whole_tables(
    space: str, batch_size: int, steps: int, measured: int, dataset
) -> None:
    recipe = replace(RECIPE, optimization=replace(RECIPE.optimization, batch_size=batch_size))
    short_training, arch = ShortTraining(dataset, 40, recipe, seed=3), draw(space)
    embeddings = ShardedEmbeddings(dataset.schema, EMBEDDING_DIM, EmbeddingOptimizer("rowwise-adagrad", 1e-2))
    torch.manual_seed(3)
    model = CTRModel(dataset.schema, embeddings, searched_network(dataset.schema, arch))
    batches = list(dataset.batches("train", batch_size, seed=3, rows=40))
    for name, table in embeddings.tables().items():
        seen = torch.cat([batch.sparse[name].values() for batch in batches]).unique()
        table[seen] = short_training.shared.tables[name][: len(seen)]
    losses: list[float] = []

    class Listening(ModelLearner):
        def loss(self, batch: Batch) -> torch.Tensor:
            found = super().loss(batch)
            losses.append(found.item())
            return found

    train(Listening(model, recipe.optimization), batches, steps=len(batches))
    assert len(losses) == steps
    assert short_training.log_loss(arch) == pytest.approx(sum(losses[-measured:]) / measured, rel=1e-5)


def test_it_is_the_same_twice_and_another_with_another_seed(dataset) -> None:
    arch = draw("nasrec-small")
    one, again, other = (ShortTraining(dataset, 40, RECIPE, seed=seed) for seed in (3, 3, 4))
    assert one.log_loss(arch) == one.log_loss(arch) == again.log_loss(arch) != other.log_loss(arch)


def test_threads_give_what_one_gives_by_the_usual_recipe_too(dataset) -> None:
    optimization = replace(DEFAULT_RECIPE.optimization, batch_size=16)
    short_training = ShortTraining(dataset, 40, replace(DEFAULT_RECIPE, optimization=optimization, dropout=0.5), seed=3)
    archs = [draw("nasrec-small", seed) for seed in range(4)]
    alone = [short_training.log_loss(arch) for arch in archs]
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(short_training.log_loss, archs)) == alone


def test_what_diverges_has_no_log_loss(dataset) -> None:
    short_training = ShortTraining(dataset, 40, Recipe(Optimization(1e30, 16)), seed=3)
    assert math.isnan(short_training.log_loss(draw("nasrec-small")))


def test_tables_have_only_the_rows_that_are_touched(dataset) -> None:
    short_training = ShortTraining(dataset, 2, RECIPE, seed=3)
    assert all(len(table) <= 2 * 3 for table in short_training.shared.tables.values())
    for feature, table in zip(short_training.shared.schema.sparse, short_training.shared.tables.values(), strict=True):
        assert feature.rows == len(table)


def test_ids_count_the_touched_rows_and_a_list_may_touch_none() -> None:
    schema = Schema("label", (), (SparseFeature("tags", 9, multi_valued=True),), SPLITS)

    def renumber(ids: list[int], lengths: list[int], touched: list[int]) -> list[int]:
        values = torch.tensor(ids, dtype=torch.int64)
        sparse = KeyedJaggedTensor(keys=["tags"], values=values, lengths=torch.tensor(lengths))
        batch = Batch(torch.zeros(2, 1), sparse, torch.zeros(2))
        return renumbered(batch, schema, [torch.tensor(touched)]).sparse.values().tolist()

    assert renumber([7, 4, 7], [1, 2], [2, 4, 7]) == [2, 1, 2]
    assert renumber([], [0, 0], [0]) == []
