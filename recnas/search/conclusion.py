"""What `results.json` says of the models of a run, and which of them are best."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from recnas.candidates.candidate import Candidate
from recnas.candidates.evaluation import Result, Training
from recnas.candidates.network import SEARCHED, Baseline, Network, kind_of
from recnas.nn.networks import title_of
from recnas.runs.comparison import read_comparison
from recnas.search.context import RunContext
from recnas.search.costs import Costs
from recnas.search.own_objectives import read_objectives
from recnas.search.stage import Findings, Tested
from recnas.strategies.pareto import first_front
from recnas.util.user_code import is_user_code


def model_entries(context: RunContext, findings: Findings) -> list[dict[str, Any]]:
    """An entry for each network that was trained, finalists first; what is above a limit is said."""
    rows = context.dataset.rows("train")
    entries = [
        _entry(context.costs, list(known.values()), findings.chosen.get(network), findings.test.get(network), rows)
        for network, known in findings.trained.items()
    ]
    for network, result in findings.chosen.items():
        if objectives := read_objectives(context.settings, result):
            next(entry for entry in entries if entry["id"] == network)["objectives"] = dict(objectives)
    for entry in entries:
        if entry["over_limits"]:
            context.console.say(f"{entry['id']}: above the limit on {' and '.join(entry['over_limits'])}")
    return entries


def ensemble_entry(context: RunContext, findings: Findings) -> dict[str, Any] | None:
    """What `results.json` says of the ensemble; None where the best model stands alone."""
    if (ensemble := findings.ensemble) is None:
        return None
    selected, costs = ensemble.selected, context.costs
    members = [item for item, _ in ensemble.members]
    return {
        "members": [
            {
                "id": item.candidate.network_id,
                "candidate": item.candidate.id,
                "weight": weight,
                "kind": kind_of(item.candidate.network),
                "learning_rate": item.candidate.learning_rate,
                "epoch": item.training.epoch,
                "validation": item.training.validation.to_json(),
            }
            for item, weight in ensemble.members
        ],
        "among": len(selected.among),
        "validation": selected.validation.to_json(),
        "held_out": {"log_loss": selected.held_out, "single": selected.single, "error": selected.error},
        **_tested(findings.ensemble_test),
        **costs.together([costs.of_trained(item.candidate, item.training.parameters, True) for item in members]),
    }


def comparison_entry(context: RunContext) -> dict[str, Any] | None:
    """What `results.json` says of how sure it is which model is best; None where no predictions are kept."""
    comparison = read_comparison(context.run)
    return None if comparison is None else comparison.to_json()


def front(models: Sequence[Mapping[str, Any]], names: Sequence[str], families: Collection[str] = ()) -> list[str]:
    """The searched models, trained to the end, that no other beats in validation log loss and in every objective cost.

    Args:
        models: Entries of `results.json`.
        names: The objectives of `EvolutionSettings`.
        families: Those that were searched, too; each one's best stands for it.

    Returns:
        Their ids, lowest validation log loss first; with the score as the only objective, the best alone.
    """
    others = [{"latency": "latency_ms"}.get(name, name) for name in names if name != "score"]
    found = [
        model
        for model in models
        if model["status"] == "trained" and (model["kind"] == SEARCHED or model["id"] in families)
    ]
    known = {model["id"]: model | model.get("objectives", {}) for model in found}
    points = {id_: (model["validation"]["log_loss"], *(model[name] for name in others)) for id_, model in known.items()}
    if not points:
        return []
    ids = list(points)
    return sorted((ids[place] for place in first_front(list(points.values()))), key=points.__getitem__)


def _entry(
    costs: Costs, results: Sequence[Result], chosen: Result | None, test: Tested | None, pass_rows: int
) -> dict[str, Any]:
    """A network's entry; `pass_rows` are the training rows of a pass."""
    shown = chosen or results[0]
    training, candidate = shown.training, shown.candidate
    entry: dict[str, Any] = {
        "id": candidate.network_id,
        "candidate": candidate.id,
        "kind": kind_of(candidate.network),
        **({"title": title_of(candidate.network)} if _has_own_title(candidate.network) else {}),
        "status": "trained",
        "validation": None if chosen is None else training.validation.to_json(),
        **({"test": None} if test is None else _tested(test)),
        **costs.of_trained(candidate, training.parameters, chosen is not None),
        "learning_rate": candidate.learning_rate,
        "learning_rates": [_tried(result) for result in results],
        **({"choices": choices} if (choices := candidate.network.to_json().get("choices")) else {}),
        "inputs": candidate.inputs.to_json(),
        **_how_trained(candidate, training),
        "seconds": sum(result.training.seconds for result in results),
    }
    if chosen is not None:
        return entry
    if training.diverged is not None:
        return entry | {"status": "diverged", "reason": training.diverged}
    judged = {"validation": training.lowest.validation.to_json(), "epoch": training.lowest.epoch}
    return entry | {"status": "dropped", **judged, "share": training.rows / (candidate.passes * pass_rows)}


def _tested(test: Tested) -> dict[str, Any]:
    return {"test": test.quality.to_json(), "calibration": [of_bin.to_json() for of_bin in test.calibration]}


def _how_trained(candidate: Candidate, training: Training) -> dict[str, Any]:
    """How a model was trained, and when it was best."""
    if candidate.recipe is not None:
        return {"recipe": candidate.recipe.to_json(), "epoch": training.epoch}
    of_rows = {} if training.of_rows is None else {"of_rows": training.of_rows}
    return {"trees": int(training.epoch)} | of_rows


def _has_own_title(network: Network) -> bool:
    """Whether its title cannot be told by its id: what a user's own code says, where that is imported, or choices."""
    return isinstance(network, Baseline) and (is_user_code(network.name) or bool(network.choices))


def _tried(result: Result) -> dict[str, Any]:
    """What one of a network's recipes came to on validation; None where the training did not come to its end."""
    training = result.training
    finished = training.validation if training.finished else None
    rate = result.candidate.learning_rate
    return {"candidate": result.candidate.id, "learning_rate": rate, "log_loss": finished and finished.log_loss}
