"""A short training from scratch: the cheapest look at what a full one would give (low-fidelity evaluation).

All candidates see the same rows in the same order and begin with the same tables, so that what they differ in is
their architecture. Tables have only the rows that the training touches, whatever the size of the real ones.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torchrec import KeyedJaggedTensor

from recnas.data import Batch, Dataset
from recnas.nn.embeddings import EmbeddingOptimizer, ShardedEmbeddings
from recnas.nn.model import CTRModel, found_network
from recnas.nn.network import EMBEDDING_DIM
from recnas.schema import Schema, SparseFeature
from recnas.space import Architecture
from recnas.train.loop import Diverged, ModelLearner, train
from recnas.train.metrics import Metrics
from recnas.train.settings import Optimization

if TYPE_CHECKING:
    from recnas.proxies.candidate import Candidate

VALIDATION_BATCH = 1024
_building = threading.Lock()
"""Start values come from torch's one generator."""


class BriefTraining:
    """The rows of a short training and what else its candidates share.

    Args:
        dataset: Training and validation rows.
        rows: Training rows, at most those that there are; each is seen once.
        validation_rows: Rows that candidates are measured on.
        optimization: The final training's, with the batch size of the short one.
        seed: Chooses the rows, their order and the start values.
        max_rows_per_table: Cap on the tables that the rows are looked up in.
        device: Where to compute.
    """

    def __init__(
        self,
        dataset: Dataset,
        rows: int,
        validation_rows: int,
        optimization: Optimization,
        seed: int,
        max_rows_per_table: int | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        self.optimization, self.seed, self.device = optimization, seed, device
        schema = dataset.schema.capped(max_rows_per_table)

        def batches(split: str, batch_size: int, rows: int) -> list[Batch]:
            rows = min(rows, dataset.rows(split))
            return list(dataset.batches(split, batch_size, seed=seed, rows=rows, max_rows_per_table=max_rows_per_table))

        training = batches("train", optimization.batch_size, rows)
        validation = batches("validation", VALIDATION_BATCH, validation_rows)
        touched = [
            torch.cat([batch.sparse[feature.name].values() for batch in training]).unique() for feature in schema.sparse
        ]
        self.schema = _with_rows(schema, [len(rows) + 1 for rows in touched])
        self.training = [_renumbered(batch, schema, touched).to(device) for batch in training]
        self.validation = [_renumbered(batch, schema, touched).to(device) for batch in validation]
        generator = torch.Generator().manual_seed(seed)
        self.tables = {
            # Xavier-normal, with the rows that the real table has.
            feature.name: torch.randn(len(rows) + 1, EMBEDDING_DIM, generator=generator)
            * (2 / (feature.rows + EMBEDDING_DIM)) ** 0.5
            for feature, rows in zip(schema.sparse, touched, strict=True)
        }

    def log_loss(self, arch: Architecture) -> float:
        """Trains a candidate; gives its validation log loss, NaN when the training diverged."""
        optimization = self.optimization
        with _building:
            embeddings = ShardedEmbeddings(
                self.schema,
                EMBEDDING_DIM,
                EmbeddingOptimizer(optimization.embedding_optimizer, optimization.embedding_eps),
                self.device,
            )
            torch.manual_seed(self.seed)
            model = CTRModel(self.schema, embeddings, found_network(self.schema, arch)).to(self.device)
        embeddings.load_tables(self.tables)
        try:
            train(
                ModelLearner(model, optimization),
                self.training,
                steps=len(self.training),
                learning_rate=optimization.learning_rate,
                device=self.device,
            )
            metrics = Metrics()
            with torch.no_grad():
                for batch in self.validation:
                    metrics.update(model(batch), batch.label)
            return metrics.log_loss()
        except Diverged:
            return float("nan")
        finally:
            # TorchRec's modules refer to one another in circles.
            del model, embeddings
            gc.collect()


def brief(candidate: Candidate) -> float:
    """Validation log loss after a short training from scratch; lower is better. Inherits nothing."""
    assert candidate.training is not None, "nothing to train on"
    return candidate.training.log_loss(candidate.arch)


def _with_rows(schema: Schema, rows: Sequence[int]) -> Schema:
    sparse = (
        SparseFeature(feature.name, max(2, count), feature.pooling, feature.multi_valued)
        for feature, count in zip(schema.sparse, rows, strict=True)
    )
    return replace(schema, sparse=tuple(sparse))


def _renumbered(batch: Batch, schema: Schema, touched: Sequence[Tensor]) -> Batch:
    """A batch whose ids count the touched rows of each table; all other rows are one, the last."""
    values = []
    for feature, rows in zip(schema.sparse, touched, strict=True):
        ids = batch.sparse[feature.name].values()
        place = torch.searchsorted(rows, ids).clamp(max=len(rows) - 1)
        values.append(torch.where(rows[place] == ids, place, len(rows)))
    sparse = KeyedJaggedTensor(
        keys=[feature.name for feature in schema.sparse], values=torch.cat(values), lengths=batch.sparse.lengths()
    )
    return Batch(batch.dense, sparse, batch.label)
