"""The models and the ensemble of a run as text in columns."""

from __future__ import annotations

from typing import Any


def result_table(results: dict[str, Any]) -> str:
    """A run's models as text in columns: those trained to the end, best on validation first; dropped; diverged.

    Below them the ensemble, with its members by weight.
    """

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
        marks = _marks(model["id"], results)
        if model.get("over_limits"):
            marks.append(f"over the limit on {' and '.join(model['over_limits'])}")
        lines.append(
            f"{model['id']:<{width}} {_figures(model, instead, timed)} {_cell(model.get('learning_rate'), 9, 'g')}"
            f"{' <- ' if marks else ''}{', '.join(marks)}"
        )
    if (ensemble := results.get("ensemble")) is not None:
        held_out = ensemble["held_out"]
        lines += [
            f"{'ensemble':<{width}} {_figures(ensemble, '', timed)}",
            *(f"  {member['weight']:.2f} {member['candidate']}" for member in ensemble["members"]),
            f"  log loss of rows held out of the selection: {held_out['log_loss']:.4f}, by the best model alone "
            f"{held_out['single']:.4f}",
        ]
    return "\n".join(lines)


def _figures(entry: dict[str, Any], instead: str, timed: bool) -> str:
    """The columns from validation to costs of an entry of `results.json`; `instead` stands for figures it has not."""
    qualities = [
        f"{_cell(quality['log_loss'], 9, '.4f')} {_cell(quality['auc'], 9, '.4f')}"
        if (quality := entry.get(split))
        else f"{instead:^19}"
        for split in ("validation", "test")
    ]
    costs = [_cell(entry.get(name), 10, ",") for name in ("parameters", "macs")]
    return " ".join([*qualities, *costs, *([_cell(entry.get("latency_ms"), 10, ".2f")] if timed else [])])


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
