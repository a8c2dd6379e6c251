"""recnas: its loader and its loop, as a run trains a candidate."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import torch

from recnas.candidates.network import Baseline
from recnas.candidates.recipe import Optimization
from recnas.data import Batch, Dataset, fit_inputs
from recnas.features.inputs import Inputs
from recnas.nn.embeddings import ShardedEmbeddings
from recnas.nn.model import CTRModel
from recnas.nn.networks import build_network, reads_first_order
from recnas.train.loop import ModelLearner
from recnas.train.loop import train as train_loop
from trainers.case import CLIP, DIM, LEARNING_RATE, Case, Clock, Log, count_macs

STEPS = 1_000_000_000
"""Of the schedule: more than are made."""
BUFFER = 8 * 65_536
"""Rows that the loader decodes at a time, ahead of the training, where a data set is too large to be kept."""


def train(case: Case, log: Log, clock: Clock) -> None:
    learner, batches = make(case, log, clock)
    train_loop(learner, clock.over(batches, case.batch_size), steps=STEPS)


def make(
    case: Case, log: Log, clock: Clock, kind: type[ModelLearner] = ModelLearner
) -> tuple[ModelLearner, Iterator[Batch]]:
    """The model, ready to learn, and batches without end."""
    dataset = Dataset(log.folder / "data")
    if case.numbers == "fields":
        dataset = dataset.fed(fit_inputs(dataset, Inputs(numbers=("field",))))
    largest = max(log.tables)
    schema = dataset.schema.capped(largest)
    optimization = Optimization(
        LEARNING_RATE,
        case.batch_size,
        optimizer=case.optimizer,
        embedding_optimizer=case.optimizer,
        embedding_penalty=case.penalty,
        clip=CLIP if case.clipped else None,
    )
    baseline = Baseline(case.model)
    has_weights = reads_first_order(baseline)
    embeddings = ShardedEmbeddings(schema, DIM, optimization.of_tables, first_order=has_weights)
    network = build_network(baseline, schema, DIM, case.dropout)
    learner = kind(CTRModel(schema, embeddings, network), optimization)
    dense, fields = torch.zeros(8, schema.num_dense), torch.zeros(8, schema.num_sparse, DIM + has_weights)
    clock.macs = count_macs(lambda: network(dense, fields), 8)

    if case.rows > BUFFER:
        # What decoding costs is spread unevenly over a buffer's steps.
        clock.least = max(clock.least, BUFFER // case.batch_size)

    def batches() -> Iterator[Batch]:
        for epoch in count():
            yield from dataset.batches(
                "train", case.batch_size, seed=0, epoch=epoch, max_rows_per_table=largest, drop_last=True
            )

    return learner, batches()
