"""What every stage of a run needs: its folder, settings, data, costs, workers, console and history."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from pathlib import Path

from recnas.candidates.candidate import Candidate
from recnas.candidates.evaluation import Evaluation, Result
from recnas.data import Dataset
from recnas.execution.executor import Executor, ThisProcess
from recnas.execution.torchrun import as_done_joined, map_joined
from recnas.features.schema import Schema
from recnas.nn.model import default_device
from recnas.nn.networks import count_macs
from recnas.nn.processes import num_started
from recnas.runs.history import History
from recnas.runs.settings import Settings
from recnas.search.costs import Costs
from recnas.search.feeding import keep_inputs, open_data
from recnas.search.worker import Worker
from recnas.util.console import Console


@dataclass(frozen=True)
class RunOptions:
    """How a run is begun and followed; its outcome does not depend on it.

    Attributes:
        overwrite: Replace an earlier run in its folder.
        resume: Resume the run in its folder, if there is one.
        progress: Show how far it is and a line for each result, on standard error.
        log_to: Trackers that are told of it: `mlflow`, `tensorboard`.
    """

    overwrite: bool = False
    resume: bool = False
    progress: bool = True
    log_to: Collection[str] = ()


def effort_of(candidate: Candidate, schema: Schema) -> float:
    """How long work on a candidate takes, in some unit; that on trees longest."""
    return math.inf if candidate.recipe is None else count_macs(candidate.network, schema)


@dataclass
class RunContext:
    """A run under way.

    Attributes:
        run: Its folder.
        settings: Its own.
        dataset: What is learned from.
        costs: What candidates cost.
        executor: Of `Worker`s.
        console: Where it is shown.
        history: Every evaluation.
    """

    run: Path
    settings: Settings
    dataset: Dataset
    costs: Costs
    executor: Executor
    console: Console
    history: History = field(init=False)

    def __post_init__(self) -> None:
        self.history = History(self.run)

    @cached_property
    def worker(self) -> Worker:
        """That of this process."""
        return self.executor.worker if isinstance(self.executor, ThisProcess) else Worker(self.settings)

    def score(self, evaluations: Sequence[Evaluation]) -> Iterator[Result]:
        """Evaluates candidates by the first stage of the ranking, or by training those whose fidelity is above 0."""
        for trains, grouped in groupby(evaluations, lambda evaluation: evaluation.fidelity > 0):
            asked = list(grouped)
            with closing(self.train(asked) if trains else self._by_proxies(Worker.score, asked)) as results:
                yield from results

    def score_again(self, evaluations: Sequence[Evaluation]) -> Iterator[Result]:
        """Evaluates candidates by the second stage of the ranking."""
        return self._by_proxies(Worker.score_again, evaluations)

    def train(self, evaluations: Sequence[Evaluation]) -> Iterator[Result]:
        """Trains candidates; of several processes that `torchrun` started all train each model together.

        What they are fed is fitted before, once, and written down for workers and for what comes after the run.
        """
        self._keep_inputs(evaluations)
        if num_started() > 1:
            return map_joined(Worker.train, self.worker, evaluations)
        return self.executor.map(Worker.train, evaluations, self.effort, apart=True)

    def train_as_done(self, more: Callable[[], Sequence[Evaluation]]) -> Iterator[Result]:
        """Trains candidates as `train` does, others while some are under way; gives each result when it is known.

        Args:
            more: Gives further ones, at first and after each result; when it has none and none are under way, this is
                over.
        """

        def fed() -> Sequence[Evaluation]:
            self._keep_inputs(evaluations := more())
            return evaluations

        if num_started() > 1:
            done = as_done_joined(Worker.train, self.worker, fed)
        else:
            done = self.executor.as_done(Worker.train, fed)
        with closing(done):
            for _, result in done:
                yield result

    def _keep_inputs(self, evaluations: Sequence[Evaluation]) -> None:
        for inputs in dict.fromkeys(evaluation.candidate.inputs for evaluation in evaluations):
            keep_inputs(self.run, inputs, open_data(self.settings, inputs))

    def effort(self, evaluation: Evaluation) -> float:
        """How long an evaluation takes, in some unit."""
        return effort_of(evaluation.candidate, self.dataset.schema)

    def _by_proxies(
        self, method: Callable[[Worker, Evaluation], Result], evaluations: Sequence[Evaluation]
    ) -> Iterator[Result]:
        on_cpu = default_device().type == "cpu"
        return self.executor.map(method, evaluations, self.effort, single_threaded=on_cpu)
