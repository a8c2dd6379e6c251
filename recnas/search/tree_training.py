"""Training of one candidate that is trees: grown from the start each time, on the same rows as networks learn from."""

from __future__ import annotations

import time
from pathlib import Path

import torch

from recnas.candidates.candidate import MOST_TREES, TREES_A_PASS, Candidate
from recnas.candidates.evaluation import Epoch, Evaluation, Quality, Training
from recnas.data import Dataset
from recnas.runs.models import ModelFolder
from recnas.runs.settings import Settings
from recnas.search.scoring import stage_seed
from recnas.train.log import ProgressLog
from recnas.train.loop import REPORT_EVERY, Progress
from recnas.trees.library import NotGrown, Round
from recnas.trees.training import grow


def grow_candidate(settings: Settings, dataset: Dataset, evaluation: Evaluation) -> Training:
    """Grows a candidate's trees; a share of its training is that share of the trees.

    What a killed process left is not gone on with: the first trees of more are the same, and so is what comes of them.

    Args:
        settings: The run's.
        dataset: What the trees are fed.
        evaluation: What is asked; its candidate is trees.
    """
    candidate = evaluation.candidate
    folder = ModelFolder(Path(settings.run), candidate)
    most = max(1, round(evaluation.fidelity * MOST_TREES))
    known = folder.outcome(_rows(most, dataset))
    if known is not None:
        return known
    folder.begin()
    watch = _Watch(candidate, dataset, most, ProgressLog(folder.progress))
    training = _grown(settings, dataset, folder, most, watch)
    folder.record(training)
    return training


def _grown(settings: Settings, dataset: Dataset, folder: ModelFolder, most: int, watch: _Watch) -> Training:
    candidate = folder.candidate
    try:
        grown = grow(
            dataset,
            candidate.network.name,
            candidate.network.all_choices,
            seed=stage_seed(settings, f"train/{candidate.network_id}"),
            threads=torch.get_num_threads(),
            most_trees=most,
            report=watch.report,
        )
    except NotGrown as error:
        return Training((), finished=False, diverged=str(error), seconds=watch.seconds, parameters=0)
    folder.keep_predictions(grown.model.measure(dataset, "validation").logits)
    grown.model.save(folder.path)
    ended = most == MOST_TREES or grown.rounds[-1].trees < most
    return Training(
        tuple(map(watch.epoch, grown.rounds)),
        finished=ended,
        diverged=None,
        seconds=watch.seconds,
        parameters=grown.model.ensemble.leaves,
        found=grown.found,
        of_rows=None if grown.rows == dataset.rows("train") else grown.rows,
    )


class _Watch:
    """Notes when trees were measured, and writes down how their training comes along.

    Args:
        candidate: Whose they are.
        dataset: What they are grown of.
        most: Trees at most.
        log: Where it is written down.
    """

    def __init__(self, candidate: Candidate, dataset: Dataset, most: int, log: ProgressLog) -> None:
        self._candidate, self._dataset, self._most, self._log = candidate, dataset, most, log
        self._start, self._reported, self._trees = time.perf_counter(), 0.0, 0
        self._measured: dict[int, float] = {}

    @property
    def seconds(self) -> float:
        """Wall-clock time so far."""
        return time.perf_counter() - self._start

    def report(self, now: Round) -> None:
        """Notes a measurement; about twice a second it is written down."""
        self._measured[now.trees] = seconds = self.seconds
        if seconds - self._reported < REPORT_EVERY and now.trees < self._most:
            return
        rows = _rows(now.trees, self._dataset)
        rate = (rows - _rows(self._trees, self._dataset)) / max(1e-9, seconds - self._reported)
        self._log.add(Progress(now.trees, self._most, rows, now.train_loss, self._candidate.learning_rate, rate))
        self._reported, self._trees = seconds, now.trees

    def epoch(self, measured: Round) -> Epoch:
        """A measurement as the run's files have it."""
        return Epoch(
            learning_rate=self._candidate.learning_rate,
            epoch=measured.trees,
            rows=_rows(measured.trees, self._dataset),
            train_loss=measured.train_loss,
            validation=Quality(measured.log_loss, measured.auc),
            seconds=self._measured[measured.trees],
        )


def _rows(trees: int, dataset: Dataset) -> int:
    """The training rows that trees count as, where networks are measured in rows."""
    return trees * dataset.rows("train") // TREES_A_PASS
