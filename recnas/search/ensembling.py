"""A run's ensemble: selected from everything that was trained, by predictions of the validation rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np

from recnas.candidates.candidate import Candidate
from recnas.candidates.evaluation import Evaluation, Result
from recnas.candidates.network import Baseline, are_trees
from recnas.runs.comparison import write_comparison
from recnas.runs.ensemble import SelectedEnsemble, read_ensemble, write_ensemble
from recnas.runs.folder import ENSEMBLE
from recnas.runs.models import CANDIDATE, CHOSEN, MODELS, ModelFolder
from recnas.runs.plan import PlannedStage
from recnas.runs.settings import Settings
from recnas.search.comparing import compare, row_losses
from recnas.search.context import RunContext
from recnas.search.ensemble_selection import Admits, Mixture, Selection, select
from recnas.search.keeping import drop_others, ensemble_library, finished
from recnas.search.scoring import stage_seed
from recnas.search.stage import Ensemble, Findings, Stage
from recnas.train.metrics import quality_of
from recnas.trees.library import is_installed
from recnas.util.files import read_json
from recnas.util.user_code import NotImportedError, is_user_code

MOST_ROWS = 100_000
"""Validation rows that members are selected by, at most, drawn at random."""


class Ensembling(Stage):
    """Selects the ensemble, and drops the weights of all that are neither a member nor the best of their network."""

    name = ENSEMBLE

    def planned(self, settings: Settings, rows: Mapping[str, int]) -> PlannedStage:
        """See `Stage.planned`."""
        return PlannedStage(self.name, 1, "ensembles", 0.0, trains=False)

    def run(self, context: RunContext, findings: Findings) -> None:
        """See `Stage.run`."""
        chosen = read_json(context.run / MODELS / CHOSEN)
        before = read_ensemble(context.run)
        trained = ensemble_library(findings.trainings)
        known = {result.candidate.id for result in trained}
        # Where baselines are added to a finished run, its own models stand beside them.
        earlier = dict.fromkeys([*chosen.values(), *({} if before is None else before.weights)])
        usable = finished([*trained, *_read(context, [id_ for id_ in earlier if id_ not in known])])
        by_id = {result.candidate.id: result for result in usable if is_kept(context.run, result)}
        with context.console.bar(1, self.name, "ensembles") as bar:
            # A process that was killed after it wrote this may have dropped some of the others.
            if before is not None and set(before.weights) <= set(by_id) <= set(before.among):
                selected = before
            else:
                compared = {result.candidate.id: result for result in (*usable, *findings.chosen.values())}
                _compare(context, list(compared.values()), 0 if before is None else len(before.among))
                selected = _selected(context, usable[0], list(by_id.values()))
                write_ensemble(context.run, selected)
            bar.update()
        drop_others(context.run, [*findings.trainings, *usable], {*chosen.values(), *selected.weights})
        if len(selected.weights) > 1:
            members = tuple((by_id[id_], weight) for id_, weight in selected.weights.items())
            findings.ensemble = Ensemble(members, selected)
        context.console.say(_described(selected))


def _read(context: RunContext, ids: Iterable[str]) -> Iterator[Result]:
    """What trained candidates in the run's folder came to, as far as they can predict in this process.

    Code of a user's own is imported only where the user names it, so what needs some is left out.
    """
    for id_ in ids:
        with suppress(NotImportedError):
            candidate = Candidate.from_json(read_json(context.run / MODELS / id_ / CANDIDATE))
            training = ModelFolder(context.run, candidate).training
            if training is not None and _can_predict(context.settings, candidate):
                yield Result.of_training(Evaluation(candidate, 1.0), training)


def _can_predict(settings: Settings, candidate: Candidate) -> bool:
    network = candidate.network
    if are_trees(network):
        return is_installed(network.name)
    return not is_user_code(network.name if isinstance(network, Baseline) else settings.block_space or "")


def is_kept(run: Path, result: Result) -> bool:
    """Whether there are weights and predictions; the first versions kept no predictions."""
    folder = ModelFolder(run, result.candidate)
    return folder.weights.exists() and folder.predictions.exists()


def _compare(context: RunContext, results: Sequence[Result], before: int) -> None:
    """Notes how sure it is which of some trained candidates is best, of those whose predictions are kept.

    Args:
        context: The run.
        results: The candidates.
        before: Among how many a choice was made before, of which some may be gone.
    """
    labels = context.dataset.labels("validation")
    kept = [result for result in results if is_kept(context.run, result)]
    losses = (
        (
            result.candidate.id,
            row_losses(ModelFolder(context.run, result.candidate).read_predictions(len(labels)), labels),
        )
        for result in kept
    )
    if not kept:
        return
    comparison = compare(losses, stage_seed(context.settings, f"{ENSEMBLE}/comparison"))
    if before > len(kept):
        write_comparison(context.run, replace(comparison, log_loss=None))
        return
    write_comparison(context.run, comparison)
    best = min(kept, key=lambda result: result.training.validation.log_loss)
    context.console.say(
        f"best: {best.candidate.id}, validation log loss {best.training.validation.log_loss:.4f}; chosen by some of "
        f"these rows among {len(kept)} models, the best has {comparison.log_loss:.4f} on the others"
    )


def _selected(context: RunContext, best: Result, library: Sequence[Result]) -> SelectedEnsemble:
    """Selects among trained candidates.

    Args:
        context: The run.
        best: The best on validation of all.
        library: Those whose predictions are kept, best on validation first.
    """
    ids, figures = tuple(result.candidate.id for result in library), best.training.validation
    alone = SelectedEnsemble({best.candidate.id: 1.0}, figures, figures.log_loss, figures.log_loss, ids)
    if len(library) < 2 or library[0] is not best:
        return alone
    labels = context.dataset.labels("validation")
    selection, predictions = select_members(
        context, library, labels, context.settings.final.ensemble, _limits(context, library)
    )
    weights = {ids[place]: weight for place, weight in selection.weights.items()}
    if len(weights) == 1:
        return replace(alone, held_out=selection.held_out, single=selection.single, error=selection.error)
    mixture = Mixture()
    for place, weight in selection.weights.items():
        mixture.add(weight, predictions[place])
    validation = quality_of(mixture.logits, labels)
    return SelectedEnsemble(weights, validation, selection.held_out, selection.single, ids, selection.error)


def select_members(
    context: RunContext, library: Sequence[Result], labels: np.ndarray, most: int, admits: Admits
) -> tuple[Selection, list[np.ndarray]]:
    """Which of some trained candidates predict best together, and what each predicts of the validation rows, `[N]`.

    Args:
        context: The run.
        library: Those whose predictions are kept.
        labels: Of the validation rows, `[N]`, 0 or 1.
        most: Members at most.
        admits: As in `select`.

    Raises:
        InputError: Predictions are damaged.
    """
    predictions = [ModelFolder(context.run, item.candidate).read_predictions(len(labels)) for item in library]
    rows = _rows(context.settings, len(labels))
    logits = np.stack([of_model[rows] for of_model in predictions])
    seed = stage_seed(context.settings, ENSEMBLE)
    return select(logits, labels[rows], most=most, seed=seed, admits=admits), predictions


def _rows(settings: Settings, rows: int) -> np.ndarray:
    """The places of the rows that members are selected by, of so many."""
    if rows <= MOST_ROWS:
        return np.arange(rows)
    rng = np.random.default_rng(stage_seed(settings, f"{ENSEMBLE}/rows"))
    return np.sort(rng.choice(rows, MOST_ROWS, replace=False))


def _limits(context: RunContext, library: Sequence[Result]) -> Admits:
    """Whether some of these, by their places, are within the run's limits together."""
    if not context.settings.limits.bounds:
        return lambda members: True
    costs = [context.costs.of_trained(item.candidate, item.training.parameters, usable=True) for item in library]
    return lambda members: not context.costs.together([costs[place] for place in members])["over_limits"]


def _described(selected: SelectedEnsemble) -> str:
    """What was selected, in one line for a person."""
    if len(selected.weights) == 1:
        return f"ensemble: of {len(selected.among)} models, {next(iter(selected.weights))} predicts best alone"
    return (
        f"ensemble: {len(selected.weights)} of {len(selected.among)} models, validation log loss "
        f"{selected.validation.log_loss:.4f}; on rows held out {selected.held_out:.4f}, the best model alone "
        f"{selected.single:.4f}"
    )
