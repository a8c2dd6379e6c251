"""What a process of a run works with: it scores candidates, trains them, and measures the trained ones."""

from __future__ import annotations

import gc
import threading
from dataclasses import replace

import torch

from recnas.candidates.candidate import Candidate
from recnas.candidates.evaluation import Evaluation, Result
from recnas.execution.executor import computing_with
from recnas.runs.settings import Settings
from recnas.search.feeding import open_data
from recnas.search.own_objectives import measure_objectives
from recnas.search.scoring import Scorer, build_scoring_context
from recnas.search.training import import_code, measure_kept, train_candidate
from recnas.train.metrics import Measured

FIRST, SECOND = 0, 1
"""The stages of a ranking."""


class Worker:
    """Does a run's work in one process.

    For the first candidate that is ranked by what it inherits, the run's supernet is loaded; it is kept until a model
    is trained.

    Args:
        settings: The run's.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._scorers: list[Scorer] | None = None
        self._building = threading.Lock()

    def score(self, evaluation: Evaluation) -> Result:
        """What the first stage of the ranking gives a candidate; without a ranking all are alike."""
        return self._scored(evaluation, FIRST)

    def score_again(self, evaluation: Evaluation) -> Result:
        """What the second stage gives it, without a score, which depends on the other candidates."""
        return replace(self._scored(evaluation, SECOND), score=None)

    def train(self, evaluation: Evaluation) -> Result:
        """Trains a candidate to a fidelity, and measures what a user's own objectives say of it when it has ended."""
        self.release()
        # The history is not to depend on cores and workers where the clock decides nothing.
        threads = 1 if self._settings.counts_candidates else torch.get_num_threads()
        try:
            with computing_with(threads):
                result = train_candidate(self._settings, evaluation)
                measure_objectives(self._settings, result)
                return result
        finally:
            gc.collect()  # frees the model now: TorchRec's modules refer to one another in circles

    def test(self, candidate: Candidate) -> Measured:
        """What a trained candidate predicts of the test rows, and how well."""
        self.release()
        return measure_kept(self._settings, candidate, "test")

    def release(self) -> None:
        """Gives the memory of the supernet back."""
        if self._scorers is not None:
            self._scorers = None
            gc.collect()  # as above

    def _scored(self, evaluation: Evaluation, stage: int) -> Result:
        settings, ranking = self._settings, self._settings.ranking
        if not ranking.stages[stage].names:
            return Result(evaluation, 0.0, 0.0)
        with self._building:
            if self._scorers is None:
                import_code(settings, evaluation.candidate)
                context = build_scoring_context(settings, open_data(settings), warm=settings.warms_up)
                context.prepare(ranking.proxies.values())
                self._scorers = [Scorer(context, expression) for expression in ranking.stages]
            scorer = self._scorers[stage]
        return scorer(evaluation)
