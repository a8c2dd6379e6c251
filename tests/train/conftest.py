"""A small supernet with its tables, and batches for it."""

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torchrec import KeyedJaggedTensor

from recnas.candidates.recipe import Optimization
from recnas.data import Batch
from recnas.features.feature import DenseFeature, SparseFeature
from recnas.features.schema import SPLITS, Schema
from recnas.nn.embeddings import ShardedEmbeddings
from recnas.nn.model import Supernet
from recnas.space import SearchSpace
from recnas.space.choices import OneOf
from recnas.train.warmup import PathLearner

ROWS = 16


@pytest.fixture(scope="session")
def schema() -> Schema:
    return Schema(
        label="click",
        dense=(DenseFeature("age", {"name": "log1p"}), DenseFeature("count", {"name": "log1p"})),
        sparse=(SparseFeature("user", 40), SparseFeature("item", 25), SparseFeature("gender", 3)),
        splits={split: {"rows": 10, "positives": 3} for split in SPLITS},
    )


@pytest.fixture(scope="session")
def space() -> SearchSpace:
    """NASRec-Full with the narrower half of its widths."""
    blocks = SearchSpace.named("nasrec-full").blocks
    narrow = {"dense_width": OneOf((16, 32, 64, 128)), "sparse_width": OneOf((16, 32))}
    return SearchSpace("narrow", tuple(replace(choices, **narrow) for choices in blocks))


@pytest.fixture
def make_learner(schema: Schema, space: SearchSpace) -> Callable[..., PathLearner]:
    """A learner with start values of its own."""

    def make(
        seed: int = 0,
        schema: Schema = schema,
        full_path_steps: int = 0,
        paths: int = 1,
        **optimization: Any,
    ) -> PathLearner:
        torch.manual_seed(seed)
        how = Optimization(0.1, ROWS, **optimization)
        supernet = Supernet(schema, ShardedEmbeddings(schema, 16, how.of_tables), space)
        return PathLearner(supernet, how, random.Random(seed), full_path_steps, paths)

    return make


@pytest.fixture
def make_batch(schema: Schema) -> Callable[[int], Batch]:
    def make(seed: int) -> Batch:
        generator = torch.Generator().manual_seed(seed)
        ids = [torch.randint(feature.rows, (ROWS,), generator=generator) for feature in schema.sparse]
        sparse = KeyedJaggedTensor(
            [feature.name for feature in schema.sparse],
            torch.cat(ids),
            lengths=torch.ones(ROWS * len(ids), dtype=torch.int32),
        )
        dense = torch.randn(ROWS, 2, generator=generator)
        return Batch(dense, sparse, torch.randint(2, (ROWS,), generator=generator).float())

    return make


@pytest.fixture
def take_steps(make_batch) -> Callable[[PathLearner, range], list[float]]:
    """Trains a learner on numbered batches; gives the losses."""

    def take(learner: PathLearner, batches: range) -> list[float]:
        losses = []
        for number in batches:
            learner.set_learning_rate(0.1)
            loss = learner.loss(make_batch(number))
            loss.backward()
            learner.step()
            losses.append(loss.item())
        return losses

    return take
