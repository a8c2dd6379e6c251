"""Which trained candidates keep their weights on a run's disk: those that may still be of use, and no others."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

from recnas.candidates.evaluation import Result
from recnas.candidates.network import Baseline, are_trees
from recnas.runs.models import ModelFolder

LIBRARY = 50
"""Trained candidates, the best on validation, whose weights are kept while an ensemble may be selected from them."""
OF_A_KIND = 15
"""Of networks and of trees so many at least: where all of one kind are ahead, the other makes the ensemble better."""
MOST_BYTES = 10 << 30
"""What the weights of those may take on the disk that are kept for an ensemble alone: tables of a large log take
gigabytes each."""


def finished(results: Iterable[Result]) -> list[Result]:
    """The trainings of candidates that came to their end, best on validation first, each candidate once.

    Args:
        results: In any order; of a candidate that paused before it ended there may be several.
    """
    ended = {result.candidate.id: result for result in results if result.training.finished}
    return sorted(ended.values(), key=lambda result: (result.training.validation.log_loss, result.candidate.id))


def ensemble_library(results: Iterable[Result]) -> list[Result]:
    """The trainings from which an ensemble is selected, best on validation first; arguments as in `finished`."""
    ended = finished(results)
    trees = [result for result in ended if are_trees(result.candidate.network)]
    networks = [result for result in ended if not are_trees(result.candidate.network)]
    kept = {
        result.candidate.id
        for group in (ended[:LIBRARY], *(kind[:OF_A_KIND] for kind in (trees, networks)))
        for result in group
    }
    return [result for result in ended if result.candidate.id in kept]


def best_of_families(results: Iterable[Result]) -> set[str]:
    """The ids of the candidates that are best on validation of each family of baselines."""
    best: dict[str, str] = {}
    for result in finished(results):
        if isinstance(result.candidate.network, Baseline):
            best.setdefault(result.candidate.network_id, result.candidate.id)
    return set(best.values())


def of_use(run: Path, results: Collection[Result], kept: Collection[str]) -> set[str]:
    """The ids of trainings whose weights are kept: beside those given, the best on validation that have room.

    Arguments as in `drop_useless`.
    """
    found, size = set(kept), 0
    for result in ensemble_library(results):
        weights = ModelFolder(run, result.candidate).weights
        own = weights.stat().st_size if result.candidate.id not in found and weights.exists() else 0
        # What is smaller may have room: trees, where networks have large tables.
        if size + own <= MOST_BYTES:
            size += own
            found.add(result.candidate.id)
    return found


def drop_useless(run: Path, results: Collection[Result], kept: Collection[str]) -> None:
    """Drops the weights of trainings that have ended and that no ensemble would be selected from.

    Args:
        run: The run's folder.
        results: Of every candidate that was trained so far; those that paused are left as they are.
        kept: The ids of those that keep theirs, whatever they take.
    """
    drop_others(run, [result for result in results if not result.training.paused], of_use(run, results, kept))


def drop_others(run: Path, results: Iterable[Result], kept: Collection[str]) -> None:
    """Drops the weights of trained candidates, paused ones too, but for those that are kept, by their ids."""
    trained = {result.candidate.id: result.candidate for result in results}
    for name, candidate in trained.items():
        if name not in kept:
            ModelFolder(run, candidate).drop_weights()
