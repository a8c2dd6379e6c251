"""The final training: the best candidates and the hand-made models, in full or in rungs, and the choice among them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from recnas.candidates.definition import FOUND
from recnas.data import Dataset
from recnas.execution.executor import Executor
from recnas.execution.torchrun import map_joined
from recnas.nn.processes import num_started
from recnas.runs.folder import FINAL_TRAINING, TEST
from recnas.runs.history import Recorded
from recnas.runs.results import best_trained
from recnas.runs.settings import FinalSettings, Settings
from recnas.search.choice import choose_finalists, front
from recnas.search.costs import Costs
from recnas.search.data_summary import data_entry
from recnas.search.finalists import (
    ARCHITECTURE,
    Entrant,
    Job,
    Trained,
    best_of,
    forget_state,
    keep_weights,
    measure_job,
    outcome,
    train_job,
    write_metrics,
)
from recnas.space import Architecture
from recnas.strategies.halving import LEAST_LEFT, num_left, other_learning_rates, planned_rows, rungs
from recnas.strategies.pareto import Point, choose
from recnas.train.metrics import Quality
from recnas.util.console import Console
from recnas.util.errors import RunError
from recnas.util.files import write_json
from recnas.util.user_code import is_user_code


def survivors(trainings: Sequence[Trained], costs: Callable[[Architecture], Point]) -> list[Trained]:
    """The finalists of a rung that go on, in the order given; none that diverged.

    Args:
        trainings: What each of the rung came to.
        costs: What the search keeps low beside the log loss; nothing, when it looks for the lowest log loss alone.
            Otherwise front after front goes on, as in the choice of the finalists.
    """
    sound = [item for item in trainings if item.diverged is None]
    if not sound:
        return []
    points = [(item.lowest.validation.log_loss, *costs(_architecture(item.entrant))) for item in sound]
    return [sound[place] for place in choose(points, min(len(sound), num_left(len(trainings))))]


def run_finals(
    run: Path,
    settings: Settings,
    dataset: Dataset,
    ranked: list[Recorded],
    costs: Costs,
    executor: Executor,
    console: Console,
) -> dict[str, Any]:
    """Trains the best candidates of a search and the hand-made models, and chooses the best of all on validation.

    Returns:
        What `results.json` says about models and data.

    Raises:
        RunError: No finalist, or without a search no hand-made model, could be trained to the end.
    """
    schema = dataset.schema
    finalists = [
        Entrant(item.proposal.id, FOUND, item.proposal.arch)
        for item in (choose_finalists(ranked, settings.final.top_k, costs.objectives) if ranked else ())
    ]
    models = train_models(
        run, settings, dataset, finalists, hand_made(settings.final.baselines), costs, executor, console
    )
    chosen = best_trained(models)
    for entrant in finalists:
        if entrant.id == chosen["best_searched"]:
            write_json(run / ARCHITECTURE, _architecture(entrant).to_json())
    return {
        **chosen,
        "front": front(models, settings.evolution.objectives) if finalists else [],
        "data": data_entry(settings, dataset) | {"positive_rate": schema.positive_rate("train")},
        "space": settings.space if finalists else None,
        "models": models,
    }


def hand_made(names: Sequence[str]) -> list[Entrant]:
    """The hand-made models of these names, each once."""
    return [Entrant.baseline(name) for name in dict.fromkeys(names)]


def train_models(
    run: Path,
    settings: Settings,
    dataset: Dataset,
    finalists: list[Entrant],
    baselines: list[Entrant],
    costs: Costs,
    executor: Executor,
    console: Console,
) -> list[dict[str, Any]]:
    """Trains models, keeps the weights of each at its best learning rate, and measures them on the test rows.

    Returns:
        Their entries in `results.json`, finalists first.

    Raises:
        RunError: No finalist, or without finalists no hand-made model, could be trained to the end.
    """
    schema = dataset.schema

    def effort(entrant: Entrant) -> float:
        return entrant.macs(schema)

    def apply(jobs: list[Job]) -> Iterator[Trained]:
        if num_started() > 1:
            return map_joined(train_job, jobs)
        return executor.map(train_job, jobs, lambda job: effort(job.entrant), apart=True)

    trainings = _train(
        run, settings.final, dataset.rows("train"), finalists, baselines, costs.objectives, apply, console
    )
    chosen = {entrant: best_of(list(known.values())) for entrant, known in trainings.items()}
    usable = [item for item in chosen.values() if item is not None]
    for item in usable:
        keep_weights(run, item)
    # Every choice is made; the test rows are looked at only from here on.
    entrants = [item.entrant for item in usable]
    test = {}
    with console.bar(len(entrants), TEST, "models") as bar:
        for entrant, quality in zip(entrants, executor.map(measure_job, entrants, effort, apart=True), strict=True):
            test[entrant] = quality
            bar.update()
    total = settings.final.epochs * dataset.rows("train")
    models = [
        _entry(costs, list(known.values()), chosen[entrant], test.get(entrant), total)
        for entrant, known in trainings.items()
    ]
    for model in models:
        if model["over_limits"]:
            console.say(f"{model['id']}: above the limit on {' and '.join(model['over_limits'])}")
    return models


def _train(
    run: Path,
    final: FinalSettings,
    pass_rows: int,
    finalists: list[Entrant],
    baselines: list[Entrant],
    costs: Callable[[Architecture], Point],
    apply: Callable[[list[Job]], Iterator[Trained]],
    console: Console,
) -> dict[Entrant, dict[float, Trained]]:
    """The trainings of every model, by learning rate.

    `costs` are the objectives beside the log loss; `apply` runs jobs and gives what came of each, in order.
    """
    first, others = final.optimization.learning_rate, other_learning_rates(final)
    stops = rungs(final, len(finalists), pass_rows)
    total = stops[-1]
    trainings: dict[Entrant, dict[float, Trained]] = {entrant: {} for entrant in (*finalists, *baselines)}
    with console.bar(planned_rows(final, len(finalists), len(baselines), pass_rows), FINAL_TRAINING, "rows") as bar:

        def train_all(jobs: list[Job]) -> list[Trained]:
            before = {job for job in jobs if outcome(run, job) is not None}
            results = []
            for job, trained in zip(jobs, apply(jobs), strict=True):
                known = trainings[job.entrant]
                rows = job.rows - (known[job.learning_rate].rows if job.learning_rate in known else 0)
                known[job.learning_rate] = trained
                write_metrics(run, list(known.values()))
                console.say(_describe(trained, total))
                (bar.skip if job in before else bar.update)(rows)
                results.append(trained)
            return results

        field = finalists
        for rows in stops[:-1]:
            if len(field) <= LEAST_LEFT:
                break
            rung = train_all([Job(entrant, first, rows) for entrant in field])
            left = [item.entrant for item in survivors(rung, costs)]
            if not left:
                raise _none_left(rung)
            for entrant in field:
                if entrant not in left:
                    forget_state(run, entrant)
            share = 100 * rows / total
            console.say(f"{len(left)} of {len(field)} finalists go on after {share:.3g} % of the training")
            field = left
        # Hand-made models are small: they fill the time of a worker whose finalist is done first.
        last = train_all(
            [Job(entrant, first, total) for entrant in field]
            + [Job(entrant, rate, total) for entrant in baselines for rate in (first, *others)]
        )
        # Without a search, the hand-made models are what the run is about.
        judged = last[: len(field)] or last
        leader = best_of(judged)
        if leader is None:
            raise _none_left(judged)
        if field:
            train_all([Job(leader.entrant, rate, total) for rate in others])
        # Of a rung in which many diverged, fewer went on than planned.
        bar.skip(bar.total - bar.done)
    return trainings


def _architecture(entrant: Entrant) -> Architecture:
    assert entrant.arch is not None, f"{entrant.id} is hand-made"
    return entrant.arch


def _entry(
    costs: Costs, trainings: list[Trained], chosen: Trained | None, test: Quality | None, total: int
) -> dict[str, Any]:
    """A model's line in `results.json`; `total` are the training rows that a whole training sees."""
    shown = chosen or trainings[0]
    entry: dict[str, Any] = {
        "id": shown.entrant.id,
        "kind": shown.entrant.kind,
        # What its own code says can be told only where that is imported.
        **({"title": shown.entrant.title} if is_user_code(shown.entrant.name) else {}),
        "status": "trained",
        "validation": None if chosen is None else chosen.validation.to_json(),
        "test": None if test is None else test.to_json(),
        **costs.of_trained(shown.entrant, shown.parameters, chosen is not None),
        "learning_rate": shown.learning_rate,
        "learning_rates": [_tried(item) for item in trainings],
        "epoch": shown.epoch,
        "seconds": sum(item.seconds for item in trainings),
    }
    if chosen is not None:
        return entry
    if shown.diverged is not None:
        return entry | {"status": "diverged", "reason": shown.diverged}
    judged = {"validation": shown.lowest.validation.to_json(), "epoch": shown.lowest.epoch}
    return entry | {"status": "dropped", **judged, "share": shown.rows / total}


def _tried(trained: Trained) -> dict[str, Any]:
    """What one of a model's learning rates came to on validation; None where the training did not come to its end."""
    finished = trained.validation if trained.finished else None
    return {"learning_rate": trained.learning_rate, "log_loss": finished and finished.log_loss}


def _describe(trained: Trained, total: int) -> str:
    """How a training went, in one line for a person."""
    name = f"{trained.entrant.id} at learning rate {trained.learning_rate:g}"
    if trained.diverged is not None:
        return f"{name}: diverged, {trained.diverged}"
    shown = trained.best if trained.finished else trained.lowest
    when = f"epoch {trained.epoch}" if trained.finished else f"{100 * trained.rows / total:.3g} % of the training"
    return (
        f"{name}: validation log loss {shown.validation.log_loss:.4f}, AUC {shown.validation.auc:.4f} "
        f"({when}, {trained.seconds:.0f} s)"
    )


def _none_left(trainings: Sequence[Trained]) -> RunError:
    """The error to raise when every finalist that was not dropped, or every hand-made model, diverged."""
    reason = next((item.diverged for item in trainings if item.diverged), "")
    if trainings[0].entrant.kind == FOUND:
        return RunError(f"every finalist's training diverged: {reason}")
    return RunError(f"every model's training diverged: {reason}")
