"""Going on training an exported model, on rows it knows or on new ones."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from recnas.data import Batch, Dataset
from recnas.errors import InputError
from recnas.export.fit import check_fits
from recnas.export.folder import check_free, load, write_export
from recnas.export.record import Stage, TrainingRecord
from recnas.nn.embeddings import ShardedEmbeddings
from recnas.nn.model import CTRModel
from recnas.train.loop import ModelLearner, Progress, evaluate, largest_table, train
from recnas.train.metrics import Quality


@dataclass(frozen=True)
class Continued:
    """What more training did.

    Attributes:
        directory: The new export.
        train_loss: Mean log loss over the training rows, each before the model learned from it.
        before: Quality on the validation split at the beginning.
        after: The same at the end.
    """

    directory: Path
    train_loss: float
    before: Quality
    after: Quality


def continue_training(
    directory: str | Path,
    data: str | Path,
    output: str | Path,
    *,
    epochs: int = 1,
    learning_rate: float | None = None,
    batch_size: int | None = None,
    seed: int = 0,
    overwrite: bool = False,
    device: torch.device | str = "cpu",
    report: Callable[[Progress], None] | None = None,
) -> Continued:
    """Trains an exported model further with its optimiser's settings, and exports the outcome.

    The optimiser's running sums begin anew, under a schedule of its own: a linear rise, then a half cosine to 0.

    Args:
        directory: The exported model.
        data: A data set with the features that the model was trained on.
        output: The new export's folder, which may be `directory` with `overwrite`.
        epochs: Passes over the training rows.
        learning_rate: Peak of the schedule; None: as before.
        batch_size: Rows a step; None: as before.
        seed: Decides the rows' order.
        overwrite: Replace an exported model at `output`.
        device: Where to train.
        report: Told of the training's progress.

    Raises:
        InputError: The model or the data set cannot be read, they do not fit each other, something is at
            `output`, or several processes were started.
        Diverged: The loss is not a finite number.
        RunError: The disk is full.
    """
    directory, output = Path(directory), Path(output)
    if (processes := int(os.environ.get("WORLD_SIZE", "1"))) > 1:
        raise InputError(f"torchrun started {processes} processes, but training runs in one; start it without torchrun")
    if epochs < 1:
        raise InputError(f"epochs is {epochs}, it must be 1 or more")
    check_free(output, overwrite)
    finished = load(directory)
    record = TrainingRecord.load(directory)
    given = {"learning_rate": learning_rate, "batch_size": batch_size}
    optimization = replace(record.optimization, **{name: value for name, value in given.items() if value is not None})
    dataset = Dataset(data)
    check_fits(finished.schema, dataset, directory)

    tables = optimization.of_tables
    embeddings = ShardedEmbeddings(finished.schema, finished.embeddings.dim, tables, device)
    embeddings.load_tables(finished.embeddings.tables())
    model = CTRModel(finished.schema, embeddings, finished.network.to(device))
    passes = [
        dataset.batches(
            "train", optimization.batch_size, seed=seed, epoch=epoch, max_rows_per_table=largest_table(model)
        )
        for epoch in range(epochs)
    ]

    def batches() -> Iterable[Batch]:
        for one_pass in passes:
            yield from one_pass

    before = evaluate(model, dataset, "validation", device=device)
    train_loss = train(
        ModelLearner(model, optimization),
        batches(),
        steps=sum(map(len, passes)),
        learning_rate=optimization.learning_rate,
        device=device,
        report=report,
    )
    after = evaluate(model, dataset, "validation", device=device)

    finished.embeddings.load_tables(embeddings.tables())
    finished.network.cpu()
    name = str(dataset.schema.source.get("name") or dataset.path.name)
    stage = Stage(name, epochs, optimization.learning_rate, after)
    record = TrainingRecord(optimization, (*record.stages, stage))
    return Continued(write_export(output, finished, record, overwrite), train_loss, before, after)
