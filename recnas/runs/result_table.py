"""The models of a run as text in columns."""

from __future__ import annotations

from typing import Any


def result_table(results: dict[str, Any]) -> str:
    """A run's models as text in columns: those trained to the end, best on validation first; dropped; diverged."""

    def rank(model: dict[str, Any]) -> tuple[bool, float, float]:
        loss = (model.get("validation") or {}).get("log_loss")
        return loss is None, -(model.get("share") or 1.0), loss or 0.0

    models = sorted(results["models"], key=rank)
    width = max(14, *(len(model["id"]) for model in models))
    timed = any(model.get("latency_ms") is not None for model in models)
    latency = [f" {name:>10}" if timed else "" for name in ("latency", "ms")]
    lines = [
        f"{'model':<{width}} {'validation':^19} {'test':^19} {'dense':>10} {'MACs':>10}{latency[0]} {'learning':>9}",
        f"{'':<{width}} {'log loss':>9} {'AUC':>9} {'log loss':>9} {'AUC':>9} {'parameters':>10} "
        f"{'a row':>10}{latency[1]} {'rate':>9}",
    ]
    for model in models:
        status, share = model.get("status", "trained"), model.get("share")
        instead = f"dropped at {100 * share:.3g} %" if status == "dropped" and share is not None else status
        figures = [
            f"{_cell(quality['log_loss'], 9, '.4f')} {_cell(quality['auc'], 9, '.4f')}"
            if (quality := model.get(split))
            else f"{instead:^19}"
            for split in ("validation", "test")
        ]
        shown = f" {_cell(model.get('latency_ms'), 10, '.2f')}" if timed else ""
        costs = " ".join(_cell(model.get(name), 10, ",") for name in ("parameters", "macs"))
        marks = _marks(model["id"], results)
        if model.get("over_limits"):
            marks.append(f"over the limit on {' and '.join(model['over_limits'])}")
        lines.append(
            f"{model['id']:<{width}} {' '.join(figures)} {costs}{shown} {_cell(model.get('learning_rate'), 9, 'g')}"
            f"{' <- ' if marks else ''}{', '.join(marks)}"
        )
    return "\n".join(lines)


def _cell(value: float | None, width: int, form: str) -> str:
    """A figure in a column; blanks where a run of before has none."""
    return f"{'' if value is None else format(value, form):>{width}}"


def _marks(id: str, results: dict[str, Any]) -> list[str]:
    """What a model is the best at: on validation of all, of the searched ones, or at its cost."""
    if id == results.get("best"):
        return ["best"]
    # Runs of before had no baseline as the best.
    if id == results.get("best_searched"):
        return ["best searched"]
    return ["front"] if id in (results.get("front") or ()) else []
