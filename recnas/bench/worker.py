"""What a process works with that makes a table: it trains candidates, and measures them by proxies."""

from __future__ import annotations

import time
from functools import lru_cache

from recnas.bench.settings import TableSettings
from recnas.bench.trainings import Repetition, TableTraining, train
from recnas.candidates.candidate import Candidate
from recnas.execution.executor import computing_with
from recnas.features.inputs import Inputs
from recnas.proxies.batches import Lookups
from recnas.proxies.fresh import BATCH_ROWS, BATCHES, MEASURED, measure_fresh
from recnas.search.feeding import KEPT, open_data
from recnas.search.scoring import stage_seed, weights_seed
from recnas.study.scores import Scoring, ScoringResult
from recnas.study.worker import StudyWorker


class TableWorker(StudyWorker):
    """Does a table's work in one process.

    Args:
        settings: The table's.
    """

    def __init__(self, settings: TableSettings) -> None:
        super().__init__(settings)
        self._settings: TableSettings = settings
        self._lookups = lru_cache(maxsize=KEPT)(self._read)

    def train(self, repetition: Repetition) -> TableTraining:
        """Trains one candidate from scratch; see `trainings.train`."""
        self.release()
        return train(self._settings, repetition)

    def measure(self, scoring: Scoring) -> ScoringResult:
        """Measures one candidate by proxies: an architecture in the supernet, any other network by itself."""
        with computing_with(1):
            return self._measure_fresh(scoring) if self._settings.recipes_of else super().measure(scoring)

    def _measure_fresh(self, scoring: Scoring) -> ScoringResult:
        candidate = scoring.evaluation.candidate
        values, seconds = self._values_of(candidate)
        # Candidates of a family differ in more than their networks.
        return ScoringResult(candidate.id, scoring.warmup, values, dict.fromkeys(values, seconds))

    def _values_of(self, candidate: Candidate) -> tuple[dict[str, float], float]:
        lookups = self._lookups(candidate.inputs)
        start = time.process_time()
        values = measure_fresh(candidate, lookups, weights_seed(self._settings, candidate), list(MEASURED))
        return values, time.process_time() - start

    def _read(self, inputs: Inputs) -> Lookups:
        """The rows that candidates with such inputs are measured on."""
        dataset, rows = open_data(self._settings, inputs), BATCHES * BATCH_ROWS
        seed = stage_seed(self._settings, "proxies")
        return Lookups(dataset.schema, list(dataset.batches("train", BATCH_ROWS, seed=seed, rows=rows)))
