"""A short training from scratch: the cheapest look at what a full one would give (low-fidelity evaluation).

All candidates see the same rows in the same order and begin with the same tables, so that what they differ in is
their architecture. Every row is seen once, and its loss is taken before it is learned from, so that the training loss
is an honest measure on new rows; its mean over the last steps ranks as well as validation rows would, and costs nothing
(Ru et al. 2021, "Speedy performance estimation for neural architecture search", section 3). Tables have only the rows
that the training touches, whatever the size of the real ones.
"""

from __future__ import annotations

import gc
import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor
from torchrec import KeyedJaggedTensor

from recnas.candidates.recipe import Recipe
from recnas.data import Batch, Dataset
from recnas.features.feature import SparseFeature
from recnas.features.schema import Schema
from recnas.nn.embeddings import ShardedEmbeddings
from recnas.nn.model import CTRModel
from recnas.nn.networks import build_network
from recnas.space import Architecture
from recnas.train.divergence import Diverged
from recnas.train.loop import ModelLearner, Tally, train

MEASURED = 1 / 4
"""Share of the steps, the last ones, over which the loss is taken."""

drawing = threading.RLock()
"""Held while weights are drawn. Start values come from torch's one generator."""


@dataclass(frozen=True)
class ShortTrainingData:
    """What the candidates of a short training share.

    Attributes:
        schema: With tables that have the touched rows alone.
        batches: Their ids count these rows.
        tables: Start values by feature, `[rows, E]`.
    """

    schema: Schema
    batches: list[Batch]
    tables: dict[str, Tensor]


class ShortTraining:
    """The rows of a short training and what else its candidates share, read when the first is trained.

    Args:
        dataset: Training rows.
        rows: So many of them, at most those that there are; each is seen once.
        recipe: The final training's, with the batch size of the short one; nothing is dropped out.
        seed: Chooses the rows, their order and the start values.
        max_rows_per_table: Cap on the tables that the rows are looked up in.
        device: Where to compute.
    """

    def __init__(
        self,
        dataset: Dataset,
        rows: int,
        recipe: Recipe,
        seed: int,
        max_rows_per_table: int | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        self.dataset, self.num_rows = dataset, rows
        self.recipe, self.seed, self.device = recipe, seed, device
        self.max_rows_per_table = max_rows_per_table

    @cached_property
    def shared(self) -> ShortTrainingData:
        """What all candidates share."""
        schema = self.dataset.schema.capped(self.max_rows_per_table)
        batches = list(
            self.dataset.batches(
                "train",
                self.recipe.optimization.batch_size,
                seed=self.seed,
                rows=min(self.num_rows, self.dataset.rows("train")),
                max_rows_per_table=self.max_rows_per_table,
            )
        )
        touched = []
        for feature in schema.sparse:
            ids = torch.cat([batch.sparse[feature.name].values() for batch in batches]).unique()
            # A list that is empty in every row touches none.
            touched.append(ids if len(ids) else ids.new_zeros(1))
        # A schema's tables have two rows or more.
        sizes = [max(2, len(rows)) for rows in touched]
        generator, dim = torch.Generator().manual_seed(self.seed), self.recipe.embedding_dim
        tables = {
            # If Xavier-normal, with the rows that the real table has.
            feature.name: torch.randn(size, dim, generator=generator)
            * ((2 / (feature.rows + dim)) ** 0.5 if self.recipe.embedding_std is None else self.recipe.embedding_std)
            for feature, size in zip(schema.sparse, sizes, strict=True)
        }
        batches = [renumbered(batch, schema, touched).to(self.device) for batch in batches]
        return ShortTrainingData(_with_rows(schema, sizes), batches, tables)

    def log_loss(self, arch: Architecture) -> float:
        """Trains a candidate; gives the mean loss of its last steps, NaN when the training diverged."""
        recipe, dim = self.recipe, self.recipe.embedding_dim
        with drawing:
            shared = self.shared
            embeddings = ShardedEmbeddings(
                shared.schema,
                dim,
                recipe.optimization.of_tables,
                self.device,
            )
            torch.manual_seed(self.seed)
            # What dropout draws in one thread would hang on the others, and a pass over so few rows needs none.
            network = build_network(arch, shared.schema, dim, dropout=0.0, embedding_std=recipe.embedding_std)
            model = CTRModel(shared.schema, embeddings, network).to(self.device)
        embeddings.load_tables(shared.tables)
        steps = len(shared.batches)
        measured = math.ceil(MEASURED * steps)
        loss = 0.0

        def add(step: int, tally: Tally) -> None:
            nonlocal loss
            if step == steps - measured:
                loss = -tally.loss
            elif step == steps:
                loss += tally.loss

        try:
            train(
                ModelLearner(model, recipe.optimization),
                shared.batches,
                steps=steps,
                device=self.device,
                after_step=add,
            )
            return loss / measured
        except Diverged:
            return float("nan")
        finally:
            # TorchRec's modules refer to one another in circles.
            del model, embeddings
            gc.collect()


def _with_rows(schema: Schema, rows: Sequence[int]) -> Schema:
    sparse = (
        # Of a joint id it is known that it is one: it may have a penalty of its own.
        SparseFeature(feature.name, count, feature.pooling, feature.multi_valued, joint=feature.joint)
        for feature, count in zip(schema.sparse, rows, strict=True)
    )
    return replace(schema, sparse=tuple(sparse))


def renumbered(batch: Batch, schema: Schema, touched: Sequence[Tensor]) -> Batch:
    """A batch whose ids count the touched rows of each table, which are in ascending order."""
    values = [
        torch.searchsorted(rows, batch.sparse[feature.name].values())
        for feature, rows in zip(schema.sparse, touched, strict=True)
    ]
    sparse = KeyedJaggedTensor(
        keys=[feature.name for feature in schema.sparse], values=torch.cat(values), lengths=batch.sparse.lengths()
    )
    return Batch(batch.dense, sparse, batch.label)
