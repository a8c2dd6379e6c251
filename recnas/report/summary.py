"""The outcome of a run in one sentence."""

from __future__ import annotations

from dataclasses import dataclass, replace

from recnas.candidates.network import BASELINE, SEARCHED
from recnas.report.html import PLACES, decimals
from recnas.runs.leaderboard import Model, Quality
from recnas.runs.reader import Run

REAL_GAIN = 0.001
"""A difference in log loss that counts as real on a large log (NASRec, SiGeo)."""


@dataclass(frozen=True)
class Outcome:
    """The result in one sentence; `verdict` is 'better', 'worse', 'even' or 'open'."""

    verdict: str
    text: str


def outcome(run: Run) -> Outcome:
    """The best searched model's test result beside the best baseline's, or that one alone without a search.

    The ensemble's follows, where there is one.
    """
    if run.results is None:
        return Outcome("open", f"This run has no results yet: {_so_far(run)}.")
    single = _of_single_models(run)
    if (ensemble := run.results.ensemble) is None:
        return single
    members = f"an ensemble of {len(ensemble.members)} models reaches {_quality(ensemble.test)}"
    return replace(single, text=f"{single.text} On the same rows {members}.")


def _of_single_models(run: Run) -> Outcome:
    """The best searched model's test result beside the best baseline's."""
    if not run.searches:
        return _best_baseline_outcome(run)
    if run.trains:
        return _best_of_search(run)
    searched, reference = searched_model(run), best_baseline(run)
    if searched is None:
        return Outcome("open", "No searched model could be trained to the end: all of them diverged.")
    if searched.test is None or searched.test.log_loss is None:
        return Outcome("open", f"The searched model {searched.id} has no test result yet.")
    here = f"The searched model reaches a test log loss of {_quality(searched.test)}"
    if reference is None:
        return Outcome("open", f"{here}. No baseline was trained beside it.")
    if reference.test is None or reference.test.log_loss is None:
        why = f"{reference.name}'s training diverged" if reference.diverged else f"{reference.name} has no test result"
        return Outcome("open", f"{here}. {why}, so there is nothing to compare it with.")
    # Of the figures as they are shown, so that whoever subtracts them finds the difference that is given.
    gain = round(_shown(reference.test.log_loss) - _shown(searched.test.log_loss), PLACES)
    count = len(_baselines(run))
    beside = f"the baseline {reference.name}" if count == 1 else f"{reference.name}, the best of {count} baselines,"
    text = f"{here}, {beside} {_quality(reference.test)}: "
    if abs(gain) < REAL_GAIN:
        direction = "lower" if gain > 0 else "higher" if gain < 0 else "different"
        return Outcome(
            "even",
            f"{text}{decimals(abs(gain))} {direction}, less than the {REAL_GAIN} that counts as a real difference.",
        )
    if gain < 0:
        return Outcome("worse", f"{text}{decimals(-gain)} higher. The search did not beat {reference.name} here.")
    if _shown(searched.test.auc or 0) < _shown(reference.test.auc or 0):
        return Outcome(
            "better",
            f"{text}{decimals(gain)} lower, so the searched model is better by log loss, but not by AUC.",
        )
    return Outcome("better", f"{text}{decimals(gain)} lower, so the searched model is better.")


def _best_of_search(run: Run) -> Outcome:
    """What a search that trains its candidates ends with."""
    model = run.model(run.results.best)
    count = len({item.candidate for item in run.history})
    if model is None or model.test is None or model.test.log_loss is None:
        return Outcome("open", f"Of {count:,} candidates none has a test result.")
    what = model.name if model.kind == BASELINE else f"the searched network {model.id}"
    return Outcome(
        "open", f"Of {count:,} candidates {what} is best on validation, with a test log loss of {_quality(model.test)}."
    )


def _so_far(run: Run) -> str:
    if not run.searches:
        return "no baseline has been trained to the end"
    done = f"{len(run.history):,} candidates are scored" if run.history else "no candidate is scored yet"
    return f"{done}, and no model has been trained to the end"


def _best_baseline_outcome(run: Run) -> Outcome:
    model, count = best_baseline(run), len(_baselines(run))
    if model is None or model.test is None or model.test.log_loss is None:
        return Outcome("open", "No baseline has a test result.")
    which = "The baseline" if count == 1 else f"Of {count} baselines, the best on validation is"
    reaches = f"{', with' if count > 1 else ' reaches'} a test log loss of {_quality(model.test)}"
    return Outcome("open", f"{which} {model.name}{reaches}.")


def _baselines(run: Run) -> list[Model]:
    return [model for model in ranked(run) if model.kind == BASELINE]


def best_baseline(run: Run) -> Model | None:
    """The baseline with the lowest validation log loss; one that diverged if there is no other."""
    return next(iter(_baselines(run)), None)


def searched_model(run: Run) -> Model | None:
    """The best searched model, by validation log loss; the run's best unless a baseline is that."""
    best = run.model(run.results.best) if run.results else None
    if best is not None and best.kind == SEARCHED:
        return best
    models = [model for model in ranked(run) if model.kind == SEARCHED and model.validation_log_loss is not None]
    return models[0] if models and not models[0].dropped else None


def ranked(run: Run) -> list[Model]:
    """Models of the final training, lowest validation log loss first; then those dropped; those without one last."""
    models = run.results.models if run.results else ()

    def place(model: Model) -> tuple[bool, float, float]:
        share = (model.share or 0.0) if model.dropped else 1.0
        return model.validation_log_loss is None, -share, model.validation_log_loss or 0.0

    return sorted(models, key=place)


def _shown(figure: float) -> float:
    return round(figure, PLACES)


def _quality(test: Quality) -> str:
    auc = "" if test.auc is None else f" (AUC {decimals(test.auc)})"
    return f"{decimals(test.log_loss)}{auc}"
