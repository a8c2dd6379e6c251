"""A short training from scratch: the cheapest look at what a full one would give (low-fidelity evaluation).

All candidates see the same rows in the same order and begin with the same tables, so that what they differ in is
their architecture. Tables have only the rows that the training touches, whatever the size of the real ones.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torchrec import KeyedJaggedTensor

from recnas.data import Batch, Dataset
from recnas.nn.embeddings import ShardedEmbeddings
from recnas.nn.model import CTRModel, found_network
from recnas.nn.network import EMBEDDING_DIM
from recnas.schema import Schema, SparseFeature
from recnas.space import Architecture
from recnas.train.loop import Diverged, ModelLearner, train
from recnas.train.metrics import Metrics
from recnas.train.settings import Optimization
from recnas.train.warmup import VALIDATION_BATCH

if TYPE_CHECKING:
    from recnas.proxies.candidate import Candidate

_building = threading.Lock()
"""Start values come from torch's one generator."""


@dataclass(frozen=True)
class Material:
    """What the candidates of a short training share.

    Attributes:
        schema: With tables that have the touched rows and one row for all others.
        training: Batches, whose ids count these rows.
        validation: The same.
        tables: Start values by feature, `[rows, E]`.
    """

    schema: Schema
    training: list[Batch]
    validation: list[Batch]
    tables: dict[str, Tensor]


class BriefTraining:
    """The rows of a short training and what else its candidates share, read when the first is trained.

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
        self.dataset, self.num_rows, self.num_validation_rows = dataset, rows, validation_rows
        self.optimization, self.seed, self.device = optimization, seed, device
        self.max_rows_per_table = max_rows_per_table

    @cached_property
    def material(self) -> Material:
        """What all candidates share."""
        schema = self.dataset.schema.capped(self.max_rows_per_table)
        training = self._batches("train", self.optimization.batch_size, self.num_rows)
        validation = self._batches("validation", VALIDATION_BATCH, self.num_validation_rows)
        touched = []
        for feature in schema.sparse:
            ids = torch.cat([batch.sparse[feature.name].values() for batch in training]).unique()
            # A list that is empty in every row touches none.
            touched.append(ids if len(ids) else ids.new_zeros(1))
        compact = _with_rows(schema, [len(rows) + 1 for rows in touched])
        generator = torch.Generator().manual_seed(self.seed)
        tables = {
            # Xavier-normal, with the rows that the real table has.
            feature.name: torch.randn(len(rows) + 1, EMBEDDING_DIM, generator=generator)
            * (2 / (feature.rows + EMBEDDING_DIM)) ** 0.5
            for feature, rows in zip(schema.sparse, touched, strict=True)
        }
        return Material(
            compact,
            [renumbered(batch, schema, touched).to(self.device) for batch in training],
            [renumbered(batch, schema, touched).to(self.device) for batch in validation],
            tables,
        )

    def log_loss(self, arch: Architecture) -> float:
        """Trains a candidate; gives its validation log loss, NaN when the training diverged."""
        optimization = self.optimization
        with _building:
            material = self.material
            embeddings = ShardedEmbeddings(
                material.schema,
                EMBEDDING_DIM,
                optimization.of_tables,
                self.device,
            )
            torch.manual_seed(self.seed)
            model = CTRModel(material.schema, embeddings, found_network(material.schema, arch)).to(self.device)
        embeddings.load_tables(material.tables)
        try:
            train(
                ModelLearner(model, optimization),
                material.training,
                steps=len(material.training),
                learning_rate=optimization.learning_rate,
                device=self.device,
            )
            metrics = Metrics()
            with torch.no_grad():
                for batch in material.validation:
                    metrics.update(model(batch), batch.label)
            return metrics.log_loss()
        except Diverged:
            return float("nan")
        finally:
            # TorchRec's modules refer to one another in circles.
            del model, embeddings
            gc.collect()

    def _batches(self, split: str, batch_size: int, rows: int) -> list[Batch]:
        return list(
            self.dataset.batches(
                split,
                batch_size,
                seed=self.seed,
                rows=min(rows, self.dataset.rows(split)),
                max_rows_per_table=self.max_rows_per_table,
            )
        )


def brief(candidate: Candidate) -> float:
    """Validation log loss after a short training from scratch; lower is better. Inherits nothing."""
    assert candidate.training is not None, "nothing to train on"
    return candidate.training.log_loss(candidate.arch)


def _with_rows(schema: Schema, rows: Sequence[int]) -> Schema:
    sparse = (
        SparseFeature(feature.name, count, feature.pooling, feature.multi_valued)
        for feature, count in zip(schema.sparse, rows, strict=True)
    )
    return replace(schema, sparse=tuple(sparse))


def renumbered(batch: Batch, schema: Schema, touched: Sequence[Tensor]) -> Batch:
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
