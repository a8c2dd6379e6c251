"""Training an exported model further, on rows it knows or on new ones, in one process or several."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from recnas.candidates.evaluation import Quality
from recnas.candidates.network import are_trees, load_network
from recnas.candidates.recipe import Recipe
from recnas.data import Dataset
from recnas.export.fit import check_fits
from recnas.export.folder import (
    ARCHITECTURE,
    WEIGHTS,
    as_in_file,
    check_export,
    check_free,
    check_sizes,
    read_model,
    write_export,
)
from recnas.export.former_baselines import is_former
from recnas.export.record import FILE_NAME as TRAINING
from recnas.export.record import Stage, TrainingRecord
from recnas.features.schema import Schema
from recnas.nn.embeddings import ShardedEmbeddings
from recnas.nn.model import CTRModel
from recnas.nn.networks import build_network, reads_first_order
from recnas.nn.processes import all_processes, shared
from recnas.nn.sharding import Sharding
from recnas.train.best_epoch import BestWeights, Epoch, best_epoch
from recnas.train.checkpoint import (
    Checkpoint,
    load_model_tensors,
    model_tensors,
    newest_state,
    read_notes,
    state_tensors,
)
from recnas.train.divergence import Diverged
from recnas.train.loop import ModelLearner, Progress, Tally, evaluate, largest_table, train
from recnas.train.schedule import is_exhausted
from recnas.train.tensor_files import tensors_in
from recnas.util.errors import InputError

CHECKPOINT = ".checkpoint"
"""What the name of a folder ends in that holds the state of a training under way."""
KEEP = ("best", "last")
"""Which measurement's weights a training may leave."""


@dataclass(frozen=True)
class Continued:
    """The outcome of training an exported model further.

    Attributes:
        directory: The folder of the new export.
        after: Quality of the exported weights on the validation split.
        before: The same at the beginning; None when all had been done before.
        epochs: Every measurement on validation; none when all had been done before.
        kept: Passes over the training rows up to the measurement whose weights were exported.
    """

    directory: Path
    after: Quality
    before: Quality | None = None
    epochs: tuple[Epoch, ...] = ()
    kept: float | None = None

    @property
    def worse(self) -> bool:
        """Whether the training made the model worse on validation than it was."""
        return self.before is not None and self.after.log_loss > self.before.log_loss


@dataclass(frozen=True)
class Continuation:
    """How an exported model is trained further.

    Attributes:
        epochs: Passes over the training rows, at most.
        learning_rate: Peak of the schedule; None: as before.
        batch_size: Rows a step, of all processes together; None: as before.
        seed: Decides the rows' order.
        keep: Which measurement's weights are exported: the `best` on validation, or the `last`.
        checkpoint_seconds: Between two writes of the training's state.
        sharding: How tables may be split among processes.
        device: The device to train on.
        report: Told of the training's progress, in the first process.

    Raises:
        InputError: Passes or a measurement cannot be.
    """

    epochs: int = 1
    learning_rate: float | None = None
    batch_size: int | None = None
    seed: int = 0
    keep: str = "best"
    checkpoint_seconds: float = 120.0
    sharding: Sharding | None = None
    device: torch.device | str = "cpu"
    report: Callable[[Progress], None] | None = None

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise InputError(f"epochs is {self.epochs}, it must be 1 or more")
        if self.keep not in KEEP:
            raise InputError(f"keep is {self.keep!r}; it must be {' or '.join(KEEP)}")

    @property
    def decisive(self) -> dict[str, Any]:
        """What the outcome hangs on."""
        return {name: getattr(self, name) for name in ("epochs", "learning_rate", "batch_size", "seed", "keep")}

    def recipe(self, before: Recipe) -> Recipe:
        """A model's recipe with what is given of its optimization; how many passes it says stays."""
        given = {"learning_rate": self.learning_rate, "batch_size": self.batch_size}
        given = {name: value for name, value in given.items() if value is not None}
        return replace(before, optimization=replace(before.optimization, **given))


def continue_single(
    directory: str | Path,
    data: str | Path,
    output: str | Path,
    how: Continuation,
    *,
    overwrite: bool = False,
    resume: bool = False,
    write: Callable[[Path, CTRModel, TrainingRecord, bool], Path] = write_export,
) -> Continued:
    """Trains an exported single model further by its recipe, and exports what is best on validation.

    The optimisers' states begin anew, and so does the schedule; the schedule `plateau` cuts a learning rate that makes
    the model worse than it was. Of several processes that `torchrun` started all call this; the outcome is one
    process's, but for rounding and for what dropout draws. The state is kept beside `output` until the training has
    ended, in a folder whose name ends in `.checkpoint`.

    Args:
        directory: The folder of the exported model.
        data: A data set with the features that the model was trained on.
        output: The new export's folder, which may be `directory` with `overwrite`.
        how: How it is trained.
        overwrite: Replace an exported model at `output`.
        resume: Resume a training that was stopped, if there is one; the number of processes may be another.
        write: Writes the new export, in the first process; arguments as those of `write_export`.

    Raises:
        InputError: The model or the data set cannot be read, they do not fit each other, something is at `output`,
            or there is the state of another training.
        Diverged: The loss is not a finite number.
        RunError: The disk is full.
    """
    directory, output = Path(directory), Path(output)
    check_export(directory)
    if are_trees(load_network(directory / ARCHITECTURE)):
        raise only_trees(directory)
    record = TrainingRecord.load(directory)
    if record.quantization is not None:
        raise InputError(
            f"{directory}: its tables are rounded; export the model without --quantize to train it further"
        )
    recipe = how.recipe(record.recipe)
    optimization, now = recipe.optimization, replace(recipe, epochs=how.epochs)
    dataset = Dataset(data)
    network, weights = load_network(directory / ARCHITECTURE), directory / WEIGHTS
    with tensors_in(weights) as tensors:
        shapes = {name: tensor.shape for name, tensor in tensors.items()}
    if is_former(network, shapes):
        raise InputError(f"{weights}: weights of recnas 0.1; export {directory} again and train what comes of it")
    schema, dim = as_in_file(Schema.load(directory), shapes, weights)
    check_sizes(network, schema, dim, shapes, weights)
    check_fits(schema, dataset, directory)
    dataset = dataset.fed(schema)
    # What is wrong with the input is said by one process, as long as they do not know each other.
    processes = all_processes(how.device)
    checkpoint = Checkpoint(output.with_name(output.name + CHECKPOINT), how.checkpoint_seconds, processes)
    state = processes.first(partial(newest_state, checkpoint.folder))
    name = dataset.name
    if state is not None and not resume:
        raise shared(
            InputError(
                f"{checkpoint.folder}: the state of a training that has not ended; --resume goes on, without "
                "that folder it starts anew"
            )
        )
    settings = {"seed": how.seed, "keep": how.keep, "recipe": now.to_json()}
    rows = {"name": name, "rows": dataset.rows("train"), "fingerprint": dataset.schema.source.get("fingerprint")}
    in_place = output.absolute() == directory.absolute()
    ended = processes.first(partial(ended_before, output, record.stages, in_place, settings, rows)) if resume else None
    if ended is not None:
        # A process was lost when the model was there.
        checkpoint.remove()
        return Continued(output, ended)
    processes.first(partial(check_free, output, overwrite))
    origin = digest(record.stages, settings, rows)
    embeddings = ShardedEmbeddings(
        schema,
        dim,
        optimization.of_tables,
        how.device,
        reads_first_order(network),
        processes=processes,
        sharding=how.sharding,
        batch_size=optimization.batch_size,
    )
    model = CTRModel(schema, embeddings, build_network(network, schema, dim, recipe.dropout).to(how.device))
    if state is None:
        with tensors_in(weights) as tensors:
            load_model_tensors(model, tensors, weights)
    learner = ModelLearner(model, optimization)
    about = {"origin": origin, "settings": settings, "model": str(directory.absolute()), "data": name}
    kept = checkpoint.restore(learner)
    if kept is not None and kept.get("origin") != origin:
        raise shared(
            InputError(
                f"{checkpoint.folder}: the state of a training of another model, on other rows or with other settings; "
                "without that folder this one starts anew"
            )
        )
    if kept is None:
        before, tally, known = evaluate(model, dataset, "validation", device=how.device), Tally(), []
    else:
        before, tally = Quality(**kept["before"]), Tally(**kept["tally"])
        known = [Epoch.from_json(item) for item in kept["epochs"]]
    best = BestWeights(checkpoint.folder, processes, known)

    def save(tally: Tally, done: Sequence[Epoch]) -> None:
        notes = {"before": before.to_json(), "tally": asdict(tally), "epochs": [item.to_json() for item in done]}
        checkpoint.save(learner, about | notes)
        best.state_written(done)

    planned = now.measured_after(dataset.rows("train"))
    done = _train_passes(
        learner,
        dataset,
        now,
        how.seed,
        before,
        tally,
        known,
        report=how.report if processes.leads else None,
        save=lambda tally, done: save(tally, done) if checkpoint.due() else None,
        # The last weights are the model's own.
        ended=lambda done: best.keep(model, done) if how.keep == "best" and len(done) < len(planned) else None,
    )
    chosen = done[-1] if how.keep == "last" else best_epoch(done)
    tensors = model_tensors(model) if chosen == done[-1] else None

    def write_new() -> Path:
        finished = read_model(directory / ARCHITECTURE, Schema.load(directory), weights)
        load_model_tensors(finished, best.load(chosen) if tensors is None else tensors, output)
        stage = Stage(name, chosen.number, optimization.learning_rate, chosen.validation, origin=origin)
        return write(output, finished, TrainingRecord(recipe, (*record.stages, stage)), overwrite)

    # All wait until the model is there, and all raise what could not be written.
    written = processes.first(write_new)
    checkpoint.remove()
    return Continued(written, chosen.validation, before, tuple(done), chosen.number)


def _train_passes(
    learner: ModelLearner,
    dataset: Dataset,
    recipe: Recipe,
    seed: int,
    before: Quality,
    tally: Tally,
    known: Sequence[Epoch],
    *,
    report: Callable[[Progress], None] | None,
    save: Callable[[Tally, Sequence[Epoch]], None],
    ended: Callable[[Sequence[Epoch]], None],
) -> list[Epoch]:
    """Trains a model, and measures it on validation where its recipe asks for it, until its patience is at an end.

    Args:
        learner: The model and its optimisers.
        dataset: Training and validation rows.
        recipe: How it is trained.
        seed: Decides the rows' order, and with the step what dropout draws.
        before: Quality of the model before.
        tally: What was done before in the pass that is under way.
        known: The measurements that were made before.
        report: Called with the progress.
        save: Called after each step but the last with what was done in its pass, and with the measurements so far.
        ended: Called after each measurement with all of them.

    Raises:
        Diverged: A loss is not a finite number.
    """
    model, processes, batch_size = learner.model, learner.processes, recipe.optimization.batch_size
    cap, device, done = largest_table(model), processes.device, list(known)
    pass_rows, pass_steps = dataset.rows("train"), len(dataset.batches("train", batch_size))
    planned, steps = recipe.measured_after(pass_rows), pass_steps * recipe.epochs

    def measured() -> list[float]:
        return [epoch.validation.log_loss for epoch in done]

    def seed_step(step: int) -> None:
        # What dropout draws hangs on the step alone: a training that goes on draws what it would have drawn.
        torch.manual_seed((seed + step) * processes.size + processes.rank)

    def save_if_more(step: int, tally: Tally) -> None:
        if step < steps:
            save(tally, done)

    while len(done) < len(planned) and not is_exhausted(measured(), recipe.patience):
        passes, stop = (planned[len(done) - 1] if done else 0) // pass_rows, planned[len(done)]

        def report_all(now: Progress, rows_before: int = passes * pass_rows) -> None:
            report(replace(now, rows=rows_before + now.rows))

        batches = dataset.batches(
            "train",
            batch_size,
            seed=seed,
            epoch=passes,
            max_rows_per_table=cap,
            rank=processes.rank,
            world_size=processes.size,
            first_batch=tally.steps,
        )
        loss = train(
            learner,
            islice(batches, math.ceil((stop - passes * pass_rows) / batch_size) - tally.steps),
            steps=steps,
            first_step=pass_steps * passes + tally.steps,
            # A rate that makes the model worse than it was is too large; but it may be small enough in the end.
            measured=[before.log_loss, *measured()],
            device=device,
            report=None if report is None else report_all,
            before_step=seed_step,
            after_step=save_if_more,
            tally=tally,
        )
        whole = tally.steps == pass_steps
        number = passes + 1 if whole else stop / pass_rows
        quality = evaluate(model, dataset, "validation", device=device)
        if not math.isfinite(quality.log_loss):
            raise shared(
                Diverged(
                    f"the validation log loss is {quality.log_loss} after epoch {number:g}; try a smaller "
                    "--learning-rate"
                )
            )
        done.append(Epoch(number, loss, quality))
        ended(done)
        tally = Tally() if whole else tally
    return done


def only_trees(directory: Path) -> InputError:
    """The error to raise where there is no network to train further."""
    return InputError(f"{directory}: trees are not trained further; recnas baselines grows them anew on other rows")


def ended_before(
    output: Path, stages: Sequence[Stage], in_place: bool, settings: Mapping[str, Any], rows: Mapping[str, Any]
) -> Quality | None:
    """What a training came to that has made its model already; None if it has not.

    Args:
        output: The folder that the model would have.
        stages: Of the model that it began with or, in place, of the one that is there now.
        in_place: Whether that is the same place.
        settings: The training's settings.
        rows: A description of the rows that it learns from.
    """
    if not (output / TRAINING).is_file():
        return None
    *before, last = TrainingRecord.load(output).stages
    began_with = before if in_place else stages
    return last.validation if last.origin == digest(began_with, settings, rows) else None


def digest(stages: Sequence[Stage], settings: Mapping[str, Any], rows: Mapping[str, Any]) -> str:
    """A digest of all that a training begins with."""
    told = json.dumps([[asdict(stage) for stage in stages], settings, rows], sort_keys=True)
    return hashlib.blake2b(told.encode(), digest_size=8).hexdigest()


def is_checkpoint(folder: Path) -> bool:
    """Whether a folder holds the state of a training that `continue_single` has not ended."""
    return folder.name.endswith(CHECKPOINT) and newest_state(folder) is not None


def export_checkpoint(folder: str | Path, output: str | Path, overwrite: bool = False) -> Path:
    """Writes the model of a training under way, as its last state has it, as an exported folder.

    Args:
        folder: The state's folder, beside the model that the training is to give.
        output: The folder to make.
        overwrite: Replace an exported model of that name.

    Returns:
        `output`.

    Raises:
        InputError: There is no state, it is damaged, or something is at `output` already.
        RunError: The disk is full.
    """
    folder, output = Path(folder), Path(output)
    check_free(output, overwrite)
    state = newest_state(folder)
    if state is None:
        raise InputError(f"{folder}: no state of a training")
    notes = read_notes(state)
    if "model" not in notes:
        raise InputError(f"{state}: the state of a run's training, not of `recnas train`")
    base = Path(notes["model"])
    check_export(base)
    record = TrainingRecord.load(base)
    recipe = replace(Recipe.from_json(notes["settings"]["recipe"]), epochs=record.recipe.epochs)
    model = read_model(base / ARCHITECTURE, Schema.load(base), base / WEIGHTS)
    load_model_tensors(model, state_tensors(state), state)
    stage = Stage(notes["data"], None, recipe.optimization.learning_rate)
    return write_export(output, model, TrainingRecord(recipe, (*record.stages, stage)), overwrite)
