"""What a process of a study works with: it measures candidates by proxies, and trains them."""

from __future__ import annotations

import gc
import threading

from recnas.proxies.context import ScoringContext
from recnas.proxies.inputs import ProxyInputs
from recnas.search.feeding import open_data
from recnas.search.scoring import build_scoring_context
from recnas.space import SearchSpace
from recnas.study.scores import Scoring, ScoringResult, find_proxies, settings_of
from recnas.study.settings import StudySettings
from recnas.study.trainings import Repetition, RepetitionResult, train


class StudyWorker:
    """Does a study's work in one process; the warm supernet of the last warm-up asked for is kept.

    Args:
        settings: The study's.
    """

    def __init__(self, settings: StudySettings) -> None:
        self._settings = settings
        # A user's own may bring operators of its own, which candidates have.
        SearchSpace.named(settings.block_space)
        self._context: tuple[float, ScoringContext] | None = None
        self._building = threading.Lock()

    def measure(self, scoring: Scoring) -> ScoringResult:
        """Measures one candidate with every proxy.

        Proxies that no warm-up changes are measured after the first alone.
        """
        settings, candidate = self._settings, scoring.evaluation.candidate
        with self._building:
            if self._context is None or self._context[0] != scoring.warmup:
                self.release()
                self._context = scoring.warmup, self._warm_context(scoring.warmup)
            context = self._context[1]
        inputs = ProxyInputs(context, candidate.network)
        first = scoring.warmup == settings.warmups[0]
        proxies = {name: proxy for name, proxy in find_proxies(settings).items() if first or proxy.declaration.inherits}
        found = {name: inputs.measure(proxy) for name, proxy in proxies.items()}
        values = {name: float(item.value) for name, item in found.items()}
        seconds = {name: item.seconds for name, item in found.items()}
        return ScoringResult(candidate.network_id, scoring.warmup, values, seconds)

    def train(self, repetition: Repetition) -> RepetitionResult:
        """Trains one candidate from scratch; see `trainings.train`."""
        self.release()
        return train(self._settings, repetition)

    def release(self) -> None:
        """Gives the memory of the supernet back."""
        if self._context is not None:
            self._context = None
            gc.collect()  # TorchRec's modules refer to one another in circles

    def _warm_context(self, warmup: float) -> ScoringContext:
        settings = settings_of(self._settings, warmup)
        proxies = find_proxies(settings).values()
        warm = any(proxy.declaration.inherits for proxy in proxies)
        context = build_scoring_context(settings, open_data(self._settings), warm=warm)
        context.prepare(proxies)
        return context
