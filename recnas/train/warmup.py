"""Supernet warm-up: training random paths, so that candidates inherit weights that mean something."""

from __future__ import annotations

import copy
import random
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor
from torch.optim.adagrad import adagrad

from recnas.candidates.recipe import Optimization
from recnas.data import Batch, Batches, Dataset
from recnas.nn.elastic import WeightSlice, WeightSlices
from recnas.nn.model import Supernet
from recnas.nn.network import ChoiceNetwork
from recnas.space import Architecture
from recnas.train.amount import Amount
from recnas.train.checkpoint import Checkpoint
from recnas.train.loop import (
    Progress,
    Tally,
    average,
    clip_gradient,
    input_columns,
    largest_table,
    processes_of,
    set_embedding_learning_rate,
    train,
)
from recnas.train.losses import mean_loss
from recnas.train.metrics import Metrics
from recnas.util.cores import available_cores

VALIDATION_BATCH = 1024
"""Rows of a batch where candidates are measured without being trained to the end."""
LEVELS = (0.0, 0.01, 0.1, 1.0)
"""Shares of a warm-up after which candidates' inherited weights are measured."""


class SlicedAdagrad:
    """Adagrad that updates only the slices a path used; exact without weight decay, as a zero gradient changes nothing.

    Args:
        network: The supernet, whose parameters are learned.
        optimization: The settings of the optimiser.
    """

    def __init__(self, network: ChoiceNetwork, optimization: Optimization) -> None:
        self.optimization = optimization
        self.state = {name: torch.zeros_like(parameter) for name, parameter in network.named_parameters()}
        self._state_of = {id(parameter): self.state[name] for name, parameter in network.named_parameters()}
        self._steps = torch.zeros(())

    @torch.no_grad()
    def step(self, taken: Sequence[WeightSlice], lr: float) -> None:
        """Applies the gradients of the leaves to the parameters they are slices of."""
        settings = self.optimization
        for item in taken:
            adagrad(
                [item.leaf],
                [item.leaf.grad],
                [item.view_of(self._state_of[id(item.parameter)])],
                # The step count matters only to a decay of the learning rate, which is not used.
                [self._steps],
                foreach=False,
                lr=lr * settings.width_factor(input_columns(item.layer, item.leaf)),
                weight_decay=settings.weight_decay,
                lr_decay=0.0,
                eps=settings.dense_eps,
                maximize=False,
            )


class PathLearner:
    """Trains a supernet: every step draws paths and learns the slices that they use, by the mean of their gradients.

    With one path a step it is the warm-up of NASRec and SiGeo; with several it is in the spirit of FairNAS (Chu et al.
    2021): the update is no single candidate's, and far more of the weights have a part in it.

    Args:
        supernet: The supernet to train.
        optimization: The settings of the optimiser.
        rng: Draws the paths.
        full_path_steps: With a probability that falls linearly from 1 to 0 over so many steps, the full path (every
            operator, largest widths) is trained instead of random ones.
        paths: Random paths of a step, at the same rows.
        draw: Gives a random path; None for any candidate of the supernet's space.

    Raises:
        InputError: The full path is to be trained, and the space has none.
    """

    def __init__(
        self,
        supernet: Supernet,
        optimization: Optimization,
        rng: random.Random,
        full_path_steps: int = 0,
        paths: int = 1,
        draw: Callable[[random.Random], Architecture] | None = None,
    ) -> None:
        self.supernet, self.optimization = supernet, optimization
        self.rng, self.full_path_steps, self.paths = rng, full_path_steps, paths
        self._full_path = supernet.network.space.full_path() if full_path_steps else None
        self.draw = supernet.network.space.sample if draw is None else draw
        self.optimizer = SlicedAdagrad(supernet.network, optimization)
        self.processes = processes_of(supernet)
        self.steps = 0
        self._lr = 0.0
        self._slices: list[WeightSlices] = []

    def set_learning_rate(self, lr: float) -> None:
        self._lr = lr
        set_embedding_learning_rate(self.supernet, lr * self.optimization.embedding_rate)

    def next_paths(self) -> list[Architecture]:
        """The next step's paths."""
        if self.steps < self.full_path_steps and self.rng.random() >= self.steps / self.full_path_steps:
            return [self._full_path]
        return [self.draw(self.rng) for _ in range(self.paths)]

    def loss(self, batch: Batch) -> Tensor:
        fields = clip_gradient(self.supernet.embeddings(batch.sparse), self.optimization, self.processes)
        paths = self.next_paths()
        self._slices = [WeightSlices() for _ in paths]
        logits = [
            self.supernet.network(batch.dense, fields, arch, slices)
            for arch, slices in zip(paths, self._slices, strict=True)
        ]
        return mean_loss(torch.stack(logits), batch, self.processes)

    def step(self) -> None:
        taken = merged(self._slices)
        average([item.leaf.grad for item in taken], self.processes)
        if self.optimization.clip is not None:
            torch.nn.utils.clip_grad_norm_([item.leaf for item in taken], self.optimization.clip)
        self.optimizer.step(taken, self._lr)
        self.steps += 1

    @property
    def model(self) -> Supernet:
        return self.supernet

    def optimizer_state(self) -> dict[str, Tensor]:
        return self.optimizer.state

    def state_dict(self) -> dict[str, Any]:
        version, words, gauss = self.rng.getstate()
        return {"steps": self.steps, "rng": [version, list(words), gauss]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        version, words, gauss = state["rng"]
        self.rng.setstate((version, tuple(words), gauss))
        self.steps = state["steps"]


def merged(paths: Sequence[WeightSlices]) -> list[WeightSlice]:
    """The slices that several paths took: each parameter once, as large as the largest of its slices, with the sum of
    their gradients."""
    if len(paths) == 1:
        return paths[0].taken
    by_parameter: dict[int, list[WeightSlice]] = {}
    for slices in paths:
        for item in slices.taken:
            by_parameter.setdefault(id(item.parameter), []).append(item)
    largest = WeightSlices()
    for items in by_parameter.values():
        sizes = tuple(map(max, zip(*(item.leaf.shape for item in items), strict=True)))
        leaf = largest.take(items[0].layer, items[0].parameter, sizes)
        leaf.grad = torch.zeros_like(leaf)
        for item in items:
            item.view_of(leaf.grad).add_(item.leaf.grad)
    return largest.taken


@dataclass(frozen=True)
class Level:
    """Validation log loss of random candidates with the weights inherited after a share of a warm-up."""

    fraction: float
    rows: int
    median: float
    p10: float
    p90: float

    @classmethod
    def of(cls, losses: Sequence[float], fraction: float, rows: int) -> Level:
        """Summarises candidates' log losses."""
        p10, median, p90 = np.quantile(losses, (0.1, 0.5, 0.9)).tolist()
        return cls(fraction, rows, median, p10, p90)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Probe:
    """How the quality of inherited weights is measured.

    Attributes:
        candidates: Random candidates, the same at every level.
        rows: Validation rows, the same for every candidate.
    """

    candidates: int
    rows: int


def warm_up(
    learner: PathLearner,
    dataset: Dataset,
    amount: Amount,
    optimization: Optimization,
    *,
    seed: int,
    probe: Probe | None = None,
    device: torch.device | str = "cpu",
    report: Callable[[Progress], None] | None = None,
    report_measuring: Callable[[int, int], None] | None = None,
    checkpoint: Checkpoint | None = None,
) -> list[Level]:
    """Trains a supernet on part of the training rows, and measures what candidates inherit on the way.

    Args:
        learner: The supernet and its optimiser.
        dataset: Training and validation rows.
        amount: How much to train.
        optimization: Batch size and learning rate.
        seed: Chooses the rows, their order and the measured candidates.
        probe: How to measure inherited weights; None for not at all.
        device: The device to compute on.
        report: Called with the training's progress.
        report_measuring: Told, when the training is over, how many measurements are done, and of how many.
        checkpoint: Where the training's state is kept now and then; if it holds one, the warm-up goes on from there.

    Returns:
        One level for each of `LEVELS`; none when `probe` is None, only the first without training.

    Raises:
        Diverged: The loss is not a finite number.
    """
    rows = amount.rows(dataset.rows("train"))
    cap = largest_table(learner.supernet)

    def epoch_batches(epoch: int, first_batch: int = 0) -> Batches:
        return dataset.batches(
            "train",
            optimization.batch_size,
            seed=seed,
            epoch=epoch,
            rows=rows,
            max_rows_per_table=cap,
            rank=learner.processes.rank,
            world_size=learner.processes.size,
            first_batch=first_batch,
        )

    an_epoch = len(epoch_batches(0)) if rows else 0
    steps = amount.epochs * an_epoch
    kept = checkpoint.restore(learner) if checkpoint is not None else None
    tally = Tally(**kept["tally"]) if kept else Tally()

    def batches() -> Iterable[Batch]:
        epoch, batch = divmod(tally.steps, an_epoch)
        while epoch < amount.epochs:
            yield from epoch_batches(epoch, batch)
            epoch, batch = epoch + 1, 0

    due = [
        (max(1, round(fraction * steps)) if fraction else 0, fraction) for fraction in LEVELS if steps or fraction == 0
    ]
    kept_levels = kept["measured"] if kept else []
    measured = [(fraction, seen, [_known(loss) for loss in losses]) for fraction, seen, losses in kept_levels]

    def keep(step: int, tally: Tally) -> None:
        if checkpoint is not None and checkpoint.due() and step < steps:
            if quality is not None:
                quality.work_off()
            known = [(*at, [loss.result() for loss in losses]) for *at, losses in measured]
            checkpoint.save(learner, {"tally": asdict(tally), "measured": known})

    with InheritedQuality(learner, dataset, probe, seed, device) if probe else nullcontext() as quality:

        def measure(step: int) -> None:
            fractions = [fraction for at, fraction in due if at == step]
            if quality is not None and fractions:
                losses = quality.measure(last=step == steps)
                seen = min(step * optimization.batch_size, amount.epochs * rows)
                measured.extend((fraction, seen, losses) for fraction in fractions)

        if steps:
            train(
                learner,
                batches(),
                steps=steps,
                first_step=tally.steps,
                device=device,
                report=report,
                before_step=measure,
                after_step=keep,
                tally=tally,
                rate_flag="--warmup-learning-rate",
            )
        measure(steps)
        if quality is not None:
            quality.work_off(report_measuring)
        return learner.processes.first(
            lambda: [Level.of([loss.result() for loss in losses], *at) for *at, losses in measured]
        )


def _known(loss: float) -> Future[float]:
    future: Future[float] = Future()
    future.set_result(loss)
    return future


class InheritedQuality:
    """Measures random candidates on validation rows with the weights they inherit, without training them.

    On a CPU, cores that the training leaves idle measure a copy of the network while it goes on. Leave the `with` block
    to end what is under way.

    Args:
        learner: Whose supernet's candidates are measured, drawn as it draws its paths.
        dataset: Has the validation rows.
        probe: The number of candidates and of rows.
        seed: The seed that the candidates and rows are drawn with.
        device: The device to compute on.
    """

    def __init__(
        self, learner: PathLearner, dataset: Dataset, probe: Probe, seed: int, device: torch.device | str
    ) -> None:
        self.supernet = learner.supernet
        rng = random.Random(f"{seed}/probe")
        # Of several processes the first one measures; the others look rows up with it, in the tables that all have.
        count = probe.candidates if learner.processes.leads else 0
        self.candidates = [learner.draw(rng) for _ in range(count)]
        self.batches = [
            batch.to(device)
            for batch in dataset.batches(
                "validation",
                VALIDATION_BATCH,
                seed=seed,
                rows=probe.rows,
                max_rows_per_table=largest_table(self.supernet),
            )
        ]
        self._asked: list[Future[float]] = []
        on_cpu = torch.device(device).type == "cpu"
        aside = max(0, available_cores() // torch.get_num_threads() - 1) if on_cpu else 0
        # They are ended with the `with` block; if that cannot be, they keep no process from ending.
        self._threads = [threading.Thread(target=self._work, name="recnas-probe", daemon=True) for _ in range(aside)]
        self._tasks: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._ended = threading.Event()

    def measure(self, last: bool) -> list[Future[float]]:
        """Each candidate's log loss with the weights of now, known when threads or `work_off` have come to it.

        Args:
            last: Whether the training is over, so that the weights stay as they are.
        """
        with torch.no_grad():
            fields = [self.supernet.embeddings(batch.sparse) for batch in self.batches]
        network = self.supernet.network
        if self._threads and not last:
            network = copy.deepcopy(network)
        losses: list[Future[float]] = [Future() for _ in self.candidates]
        self._asked += losses
        for loss, arch in zip(losses, self.candidates, strict=True):
            self._tasks.put(partial(self._measure, loss, network, fields, arch))
        if not self._threads and not last:
            self.work_off()
        return losses

    def work_off(self, report: Callable[[int, int], None] | None = None) -> None:
        """Measures what was asked for, together with the threads, until all of it is begun.

        Args:
            report: Told how many measurements are done, and of how many.

        Raises:
            Exception: What a measurement has raised.
        """
        while True:
            done = [loss for loss in self._asked if loss.done()]
            for loss in done:
                loss.result()
            if report is not None:
                report(len(done), len(self._asked))
            try:
                task = self._tasks.get_nowait()
            except Empty:
                return
            assert task is not None, "ended"
            task()

    def _measure(
        self, future: Future[float], network: ChoiceNetwork, fields: Sequence[Tensor], arch: Architecture
    ) -> None:
        try:
            metrics = Metrics()
            with torch.no_grad():
                for batch, looked_up in zip(self.batches, fields, strict=True):
                    if self._ended.is_set():
                        return
                    metrics.update(network(batch.dense, looked_up, arch), batch.label)
            future.set_result(metrics.log_loss())
        except Exception as error:
            future.set_exception(error)

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            task()
            # A task holds a copy of the network.
            del task

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        for _ in self._threads:
            self._tasks.put(None)
        for thread in self._threads:
            thread.join()
