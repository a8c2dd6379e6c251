"""A run's last look: the chosen models and the ensemble are measured on the test rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain

import numpy as np
import torch

from recnas.candidates.candidate import Candidate
from recnas.execution.executor import computing_with
from recnas.runs.folder import TEST
from recnas.runs.plan import PlannedStage
from recnas.runs.settings import Settings
from recnas.search.context import RunContext, effort_of
from recnas.search.ensemble_selection import Mixture
from recnas.search.stage import Findings, Stage, Tested
from recnas.search.worker import Worker
from recnas.train.calibration import calibration_of
from recnas.train.metrics import Measured, quality_of
from recnas.util.cores import available_cores

FORWARD_ALONE = 1 / 3
"""What a row costs that is only predicted, as a share of one that is learned from."""


class Test(Stage):
    """Measures each network at its best recipe, and the ensemble, whose members predict once each.

    Every choice is made: the test rows are looked at only here.
    """

    name = TEST

    def planned(self, settings: Settings, rows: Mapping[str, int]) -> PlannedStage:
        """See `Stage.planned`."""
        if settings.trains:
            # Its budget has room for that; how many models there are will be seen.
            return PlannedStage(self.name, 1 + len(set(settings.final.baselines)), "models", 0, trains=False)
        models = min(settings.final.top_k, settings.evolution.candidates) + len(set(settings.final.baselines))
        return PlannedStage(self.name, models, "models", rows["test"] * FORWARD_ALONE, trains=False)

    def run(self, context: RunContext, findings: Findings) -> None:
        """See `Stage.run`."""
        chosen = {result.candidate: network for network, result in findings.chosen.items()}
        members = {} if findings.ensemble is None else {item.candidate: of for item, of in findings.ensemble.members}
        candidates, schema = sorted(dict.fromkeys([*chosen, *members]), key=_is_network), context.dataset.schema
        networks = [candidate for candidate in candidates if _is_network(candidate)]
        results = chain(
            _of_trees(context, [item for item in candidates if not _is_network(item)]),
            context.executor.map(Worker.test, networks, lambda item: effort_of(item, schema), apart=True),
        )
        mixture, labels = Mixture(), context.dataset.labels("test")
        with context.console.bar(len(candidates), self.name, "models") as bar:
            for candidate, measured in zip(candidates, results, strict=True):
                if candidate in chosen:
                    findings.test[chosen[candidate]] = _tested(measured, labels)
                if candidate in members:
                    mixture.add(members[candidate], measured.logits)
                bar.update()
        if members:
            measured = Measured(quality_of(mixture.logits, labels), mixture.logits)
            findings.ensemble_test = _tested(measured, labels)


def _is_network(candidate: Candidate) -> bool:
    return candidate.recipe is not None


def _of_trees(context: RunContext, candidates: Sequence[Candidate]) -> Iterator[Measured]:
    """What candidates that are trees predict of the test rows, in turn, each by all cores that the run has here.

    They take far longer than networks: side by side with these, the last ones would leave cores idle.
    """
    threads = torch.get_num_threads()
    for candidate in candidates:
        with computing_with(max(threads, min(available_cores(), context.executor.workers * threads))):
            measured = context.worker.test(candidate)
        yield measured


def _tested(measured: Measured, labels: np.ndarray) -> Tested:
    sound = bool(np.isfinite(measured.logits).all())
    return Tested(measured.quality, calibration_of(measured.logits, labels) if sound else ())
