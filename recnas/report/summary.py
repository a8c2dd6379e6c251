"""What a run came to, in plain words."""

from __future__ import annotations

from dataclasses import dataclass

from recnas.report.run import FOUND, Model, Run

REAL_GAIN = 0.001
"""A difference in log loss that counts as real on a large log (NASRec, SiGeo)."""

_REFERENCE = "dlrm"


@dataclass(frozen=True)
class Outcome:
    """The result in one sentence; `verdict` is 'better', 'worse', 'even' or 'open'."""

    verdict: str
    text: str


def outcome(run: Run) -> Outcome:
    """The found model's test result beside DLRM's, whichever is better."""
    if run.results is None:
        done = f"{len(run.history):,} candidates are scored" if run.history else "no candidate is scored yet"
        return Outcome("open", f"This run has no results yet: {done}, and no model has been trained to the end.")
    found, reference = found_model(run), run.model(_REFERENCE)
    if found is None:
        return Outcome("open", "No model that the search found could be trained to the end: all of them diverged.")
    if found.test is None or found.test.log_loss is None:
        return Outcome("open", f"The found model {found.id} has no test result yet.")
    here = f"The found model reaches a test log loss of {_quality(found)}"
    if reference is None:
        return Outcome("open", f"{here}. No DLRM was trained beside it.")
    if reference.test is None or reference.test.log_loss is None:
        why = "DLRM's training diverged" if reference.diverged else "DLRM has no test result"
        return Outcome("open", f"{here}. {why}, so there is nothing to compare it with.")
    gain = reference.test.log_loss - found.test.log_loss
    text = f"{here}, the hand-made DLRM {_quality(reference)}: "
    if abs(gain) < REAL_GAIN:
        direction = "lower" if gain > 0 else "higher" if gain < 0 else "different"
        return Outcome(
            "even",
            f"{text}{abs(gain):.4f} {direction}, less than the {REAL_GAIN} that counts as a real difference.",
        )
    if gain < 0:
        return Outcome("worse", f"{text}{-gain:.4f} higher. The search did not beat DLRM here.")
    if (found.test.auc or 0) < (reference.test.auc or 0):
        return Outcome("better", f"{text}{gain:.4f} lower, so the found model is better by log loss, but not by AUC.")
    return Outcome("better", f"{text}{gain:.4f} lower, so the found model is better.")


def found_model(run: Run) -> Model | None:
    """The best model that the search found, by validation log loss; the run's best unless a baseline is that."""
    best = run.model(run.results.best) if run.results else None
    if best is not None and best.kind == FOUND:
        return best
    models = [model for model in ranked(run) if model.kind == FOUND and model.validation_log_loss is not None]
    return models[0] if models and not models[0].dropped else None


def ranked(run: Run) -> list[Model]:
    """Models of the final training, lowest validation log loss first; then those dropped; those without one last."""
    models = run.results.models if run.results else ()

    def place(model: Model) -> tuple[bool, float, float]:
        share = (model.share or 0.0) if model.dropped else 1.0
        return model.validation_log_loss is None, -share, model.validation_log_loss or 0.0

    return sorted(models, key=place)


def _quality(model: Model) -> str:
    auc = "" if model.test.auc is None else f" (AUC {model.test.auc:.4f})"
    return f"{model.test.log_loss:.4f}{auc}"
