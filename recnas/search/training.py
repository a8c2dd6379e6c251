"""Training of one candidate, from scratch or from where it paused: all alike, on the same rows and the same loader."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

import torch

from recnas.candidates.candidate import Candidate
from recnas.candidates.evaluation import Epoch, Evaluation, Result, Training
from recnas.candidates.network import Baseline, are_trees
from recnas.data import Dataset
from recnas.features.schema import Schema
from recnas.nn.baselines.profit import Entries
from recnas.nn.baselines.registry import find_baseline
from recnas.nn.embeddings import ShardedEmbeddings, WholeEmbeddings
from recnas.nn.model import CTRModel, count_dense_parameters, default_device
from recnas.nn.networks import build_network, dim_of, reads_first_order, searches_interactions
from recnas.nn.number_fields import inner_network
from recnas.nn.processes import Processes, all_processes
from recnas.runs.models import ModelFolder
from recnas.runs.settings import Settings
from recnas.search.feeding import open_data, taught
from recnas.search.scoring import again, stage_seed, weights_seed
from recnas.search.tree_training import grow_candidate
from recnas.space import SearchSpace
from recnas.train.checkpoint import Checkpoint, load_model_tensors, newest_state, save_model
from recnas.train.divergence import Diverged
from recnas.train.interactions import MOST_PASSES, MOST_ROWS, find_interactions
from recnas.train.log import ProgressLog
from recnas.train.loop import ModelLearner, Progress, Tally, measure, train
from recnas.train.metrics import Measured
from recnas.train.schedule import is_exhausted
from recnas.train.tensor_files import load_tensors
from recnas.trees.library import check_library
from recnas.trees.model import TreeModel, load_trees


def train_candidate(settings: Settings, evaluation: Evaluation, dataset: Dataset | None = None) -> Result:
    """Trains a candidate to a fidelity: from scratch, or from where it paused or a killed process left it.

    The learning rate follows the schedule of the whole training. So a training that paused and was resumed is, bit for
    bit, the one that never paused. What came of it is kept beside the weights of its best measurement, and is not done
    again. Trees are grown from the start each time: see `grow_candidate`.

    Args:
        settings: The run's.
        evaluation: The candidate and the fidelity.
        dataset: What the candidate is fed; None: as the run's folder says.
    """
    import_code(settings, evaluation.candidate)
    candidate = evaluation.candidate
    dataset = open_data(settings, candidate.inputs) if dataset is None else dataset
    if candidate.recipe is None:
        # Of several processes one grows trees; the others wait.
        of_trees = partial(grow_candidate, settings, dataset, evaluation)
        return Result.of_training(evaluation, all_processes(default_device()).first(of_trees))
    pass_rows = dataset.rows("train")
    # However small the fidelity, a batch is learned from.
    rows = candidate.recipe.in_whole_batches(max(1, evaluation.rows(pass_rows)), pass_rows)
    folder = ModelFolder(Path(settings.run), candidate)
    processes = all_processes(default_device())
    checkpoint = Checkpoint(folder.checkpoint, settings.checkpoint_seconds, processes)
    known: Training | None = processes.first(partial(folder.outcome, rows))
    if known is None:
        if processes.leads:
            folder.begin()
        run = TrainingRun(settings, dataset, candidate, folder, checkpoint, processes)
        known = run.to(rows)
    elif not known.paused:
        checkpoint.remove()
    return Result.of_training(evaluation, known)


def restore(run: Path, schema: Schema, candidate: Candidate) -> CTRModel:
    """A trained network with the weights that the run kept, for inference."""
    path, network = ModelFolder(run, candidate).weights, candidate.network
    dim = dim_of(candidate)
    embeddings = WholeEmbeddings(schema, dim, first_order=reads_first_order(network))
    model = CTRModel(schema, embeddings, build_network(network, schema, dim, candidate.recipe.dropout))
    load_model_tensors(model, load_tensors(path), path)
    return model.eval()


def restore_trees(run: Path, schema: Schema, candidate: Candidate) -> TreeModel:
    """Trees that the run kept."""
    return load_trees(ModelFolder(run, candidate).path, candidate.network.name, schema)


def measure_kept(settings: Settings, candidate: Candidate, split: str, dataset: Dataset | None = None) -> Measured:
    """Measures a trained candidate, with the weights that the run kept, on the rows of a split.

    Args:
        settings: The run's.
        candidate: Which one.
        split: "train", "validation" or "test".
        dataset: What it is fed; None to open it.
    """
    import_code(settings, candidate)
    device = default_device()
    dataset = open_data(settings, candidate.inputs) if dataset is None else dataset
    if candidate.recipe is None:
        return restore_trees(Path(settings.run), dataset.schema, candidate).measure(dataset, split)
    return measure(restore(Path(settings.run), dataset.schema, candidate).to(device), dataset, split, device=device)


def import_code(settings: Settings, candidate: Candidate) -> None:
    """Imports a baseline of the user's own in this process, or the space that brings the operators of an architecture;
    the run has these names from the user.
    """
    if are_trees(candidate.network):
        check_library(candidate.network.name)
    elif isinstance(candidate.network, Baseline):
        find_baseline(candidate.network.name)
    else:
        SearchSpace.named(settings.block_space)


@dataclass
class TrainingRun:
    """A training under way, from scratch or from its last checkpoint.

    Attributes:
        settings: The run's.
        dataset: What the candidate is fed.
        candidate: Which one.
        folder: Its own in the run.
        checkpoint: Of its state.
        processes: Those that train together.
        model: With the weights that it has now.
    """

    settings: Settings
    dataset: Dataset
    candidate: Candidate
    folder: ModelFolder
    checkpoint: Checkpoint
    processes: Processes

    def __post_init__(self) -> None:
        settings = self.settings
        recipe, self.device = self.candidate.recipe, default_device()
        self.dataset = dataset = taught(Path(settings.run), self.dataset, recipe.soft_labels)
        optimization = recipe.optimization
        self.order = stage_seed(settings, f"train{again(self.candidate)}")
        found = self._find_interactions()
        self.model = self._fresh_model()
        if found is not None:
            inner_network(self.model.network).take(found)
        self.learner = ModelLearner(self.model, optimization)
        kept = self.checkpoint.restore(self.learner) or {"epochs": [], "tally": {}}
        self.epochs: list[Epoch] = [Epoch.from_json(line) for line in kept["epochs"]]
        self.tally = Tally(**kept["tally"])
        self.log = ProgressLog(self.folder.progress) if self.processes.leads else None
        self.pass_rows = dataset.rows("train")
        self.pass_steps = len(dataset.batches("train", optimization.batch_size))
        # `recnas baselines` has a flag of its own.
        self.rate_flag = "--learning-rate" if settings.searches else "--learning-rates"

    def _fresh_model(self) -> CTRModel:
        """The model as it is before its training."""
        settings, recipe, schema = self.settings, self.candidate.recipe, self.dataset.schema
        network, optimization = self.candidate.network, recipe.optimization
        torch.manual_seed(weights_seed(settings, self.candidate))
        embeddings = ShardedEmbeddings(
            schema,
            dim := dim_of(self.candidate),
            optimization.of_tables,
            self.device,
            reads_first_order(network),
            self.processes,
            settings.sharding,
            optimization.batch_size,
            recipe.embedding_std,
        )
        made = build_network(network, schema, dim, recipe.dropout, recipe.embedding_std)
        return CTRModel(schema, embeddings, made).to(self.device)

    def _find_interactions(self) -> Entries | None:
        """What the network is to interact, if that is searched, and was not when a state was kept."""
        if not searches_interactions(self.candidate.network):
            return None
        if self.processes.first(partial(newest_state, self.checkpoint.folder)) is not None:
            return None
        batch_size = self.candidate.recipe.optimization.batch_size
        rows = min(MOST_ROWS, MOST_PASSES * self.dataset.rows("train"))

        def batches(order: int) -> Iterator[Any]:
            passes = (self._batches_of(100 * order + place, 0) for place in range(MOST_PASSES))
            return islice(chain.from_iterable(passes), math.ceil(rows / batch_size))

        return find_interactions(self._fresh_model(), self.candidate.recipe.optimization, batches, self.device)

    def to(self, rows: int) -> Training:
        """Trains until so many rows were seen, a whole number of batches, or the training diverges or is exhausted."""
        diverged = None
        while self._seen < rows and not self._is_exhausted:
            try:
                self._to_next_measurement(rows)
            except Diverged as error:
                diverged = str(error)
                break
        finished = diverged is None and (self._is_exhausted or rows == self.candidate.recipe.epochs * self.pass_rows)
        parameters = count_dense_parameters(self.model)
        training = Training(tuple(self.epochs), finished, diverged, self.checkpoint.spent, parameters)
        if training.paused:
            self._save(self.tally)
        if self.processes.leads:
            self.folder.record(training)
        if not training.paused:
            self.checkpoint.remove()
        return training

    @property
    def _seen(self) -> int:
        """Training rows seen at the last measurement."""
        return self.epochs[-1].rows if self.epochs else 0

    @property
    def _measured(self) -> list[float]:
        """Validation log losses where the recipe asks for them."""
        return [item.validation.log_loss for item in self.epochs if item.planned]

    @property
    def _is_exhausted(self) -> bool:
        return is_exhausted(self._measured, self.candidate.recipe.patience)

    def _to_next_measurement(self, rows: int) -> None:
        """Trains to where the recipe asks for a measurement, or to where the training pauses, and measures it there."""
        recipe = self.candidate.recipe
        batch_size = recipe.optimization.batch_size
        passes = self._seen // self.pass_rows
        planned = recipe.measured_after(self.pass_rows)
        stop = min(rows, next(point for point in planned if point > self._seen))
        loss = train(
            self.learner,
            islice(self._batches(passes), math.ceil((stop - passes * self.pass_rows) / batch_size) - self.tally.steps),
            steps=self.pass_steps * recipe.epochs,
            first_step=self.pass_steps * passes + self.tally.steps,
            measured=self._measured,
            device=self.device,
            report=partial(self._report, passes * self.pass_rows),
            before_step=self._seed_step,
            after_step=self._save_if_due,
            tally=self.tally,
            rate_flag=self.rate_flag,
        )
        seen, whole = passes * self.pass_rows + self.tally.rows, self.tally.steps == self.pass_steps
        epoch = passes + 1 if whole else seen / self.pass_rows
        measured = measure(self.model, self.dataset, "validation", device=self.device)
        quality = measured.quality
        if not math.isfinite(quality.log_loss):
            raise Diverged(
                f"the validation log loss is {quality.log_loss} after epoch {epoch:g}; try a smaller {self.rate_flag}"
            )
        if seen in planned and all(quality.log_loss < before for before in self._measured):
            # Before the weights, which say that all is there; a process killed between comes here again.
            self.processes.first(partial(self.folder.keep_predictions, measured.logits))
            save_model(self.folder.weights, self.model)
        rate = recipe.optimization.learning_rate
        self.epochs.append(Epoch(rate, epoch, seen, loss, quality, self.checkpoint.spent, seen in planned))
        if whole:
            self.tally = Tally()

    def _batches(self, passes: int) -> Iterator[Any]:
        return self._batches_of(passes, self.tally.steps)

    def _batches_of(self, passes: int, first: int) -> Iterator[Any]:
        return iter(
            self.dataset.batches(
                "train",
                self.candidate.recipe.optimization.batch_size,
                seed=self.order,
                epoch=passes,
                rank=self.processes.rank,
                world_size=self.processes.size,
                first_batch=first,
            )
        )

    def _report(self, rows_before: int, now: Progress) -> None:
        if self.log is not None:
            self.log.add(replace(now, rows=rows_before + now.rows))

    def _seed_step(self, step: int) -> None:
        # What dropout draws hangs on the step alone: a training that is resumed draws what it would have drawn.
        torch.manual_seed((self.order + step) * self.processes.size + self.processes.rank)

    def _save_if_due(self, step: int, tally: Tally) -> None:
        if self.checkpoint.due():
            self._save(tally)

    def _save(self, tally: Tally) -> None:
        notes = {"epochs": [item.to_json() for item in self.epochs], "tally": asdict(tally)}
        self.checkpoint.save(self.learner, notes)
