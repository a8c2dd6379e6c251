"""A run's final training: the best candidates and the baselines, in full or in rungs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from recnas.candidates.candidate import Candidate
from recnas.candidates.evaluation import Result
from recnas.candidates.network import SEARCHED, kind_of
from recnas.runs.folder import FINAL_TRAINING
from recnas.runs.models import CHOSEN, MODELS, ModelFolder
from recnas.runs.plan import PlannedStage
from recnas.runs.rungs import other_learning_rates, planned_rows, rungs
from recnas.runs.settings import Settings
from recnas.search.baseline_candidates import at, baseline_candidates
from recnas.search.context import RunContext
from recnas.search.keeping import drop_others, drop_useless, of_use
from recnas.search.loop import pursue
from recnas.search.stage import Findings, Stage
from recnas.strategies.choice import best_of
from recnas.strategies.halving import SuccessiveHalving
from recnas.util.errors import RunError
from recnas.util.files import read_json, write_json


class FinalTraining(Stage):
    """Trains finalists and baselines, and chooses each network's best learning rate.

    Args:
        baselines: The baselines' names.
    """

    name = FINAL_TRAINING

    def __init__(self, baselines: Sequence[str]) -> None:
        self._baselines = list(dict.fromkeys(baselines))

    def planned(self, settings: Settings, rows: Mapping[str, int]) -> PlannedStage:
        """See `Stage.planned`."""
        finalists = 0 if settings.trains else min(settings.final.top_k, settings.evolution.candidates)
        total = planned_rows(settings.final, finalists, self._epochs(settings), rows["train"])
        return PlannedStage(self.name, total, "rows")

    def _epochs(self, settings: Settings) -> int:
        """Passes over the training rows that all trainings of baselines make together, at most."""
        if settings.final.tuning.wanted:
            return 0
        return sum(candidate.passes for candidate in baseline_candidates(settings, self._baselines))

    def run(self, context: RunContext, findings: Findings) -> None:
        """See `Stage.run`.

        Raises:
            RunError: No finalist, or without a search no baseline, could be trained to the end.
        """
        settings, console = context.settings, context.console
        final, pass_rows = settings.final, context.dataset.rows("train")
        others = other_learning_rates(final)
        finalists = [
            Candidate(result.candidate.network, final.recipe, settings.inputs)
            for result in ([] if settings.trains else best_of(findings.ranked, final.top_k, context.costs.point))
        ]
        # What was tuned, or trained by the search, has been trained.
        baselines = [
            candidate
            for candidate in baseline_candidates(settings, self._baselines)
            if candidate.network_id not in findings.tuned
        ]
        trained = {candidate.network_id: dict[str, Result]() for candidate in (*finalists, *baselines)}
        trained |= findings.tuned
        total = final.epochs * pass_rows
        strategy = SuccessiveHalving(
            finalists,
            [rows / total for rows in rungs(final, len(finalists), pass_rows)[:-1]],
            context.costs.point,
            baselines,
            lambda leader: [replace(leader, recipe=at(leader.recipe, rate)) for rate in others],
        )
        # Baselines that were added to a finished run, or begun to be, stand behind what is asked for after them.
        context.history.disregard_order(self.name)
        planned = planned_rows(final, len(finalists), self._epochs(settings), pass_rows)
        with console.bar(planned, self.name, "rows") as bar:
            rounds = _Rounds(context, strategy)

            def each(result: Result, known: bool) -> None:
                recipes = trained[result.candidate.network_id]
                before = recipes.get(result.candidate.id)
                rows = result.evaluation.rows(pass_rows) - (before.evaluation.rows(pass_rows) if before else 0)
                recipes[result.candidate.id] = result
                console.say(described(result, result.candidate.passes * pass_rows))
                (bar.skip if known else bar.update)(rows)
                if final.ensemble > 1:
                    done = [item for of_network in trained.values() for item in of_network.values()]
                    best = [best_finished(of_network.values()) for of_network in trained.values()]
                    drop_useless(context.run, done, {item.candidate.id for item in best if item})

            pursue(strategy, context.history, self.name, context.train, each, rounds.end)
            # Of a rung in which many diverged, fewer went on than planned.
            bar.skip(bar.total - bar.done)
        best = {network: best_finished(known.values()) for network, known in trained.items()}
        # Of many that a search trained on its way, those that were far from the best have lost their weights.
        chosen = {network: result for network, result in best.items() if result and _has_weights(context, result)}
        file = context.run / MODELS / CHOSEN
        # Baselines that are added to a finished run leave its other models as they are.
        before = read_json(file) if file.exists() else {}
        write_json(file, before | {network: result.candidate.id for network, result in chosen.items()})
        findings.trained, findings.chosen = trained, chosen
        kept = {result.candidate.id for result in chosen.values()}
        if final.ensemble > 1:
            kept = of_use(context.run, findings.trainings, kept)
        drop_others(context.run, findings.trainings, kept)


def best_finished(results: Iterable[Result]) -> Result | None:
    """The training that came to its end and is best on validation; None where there is none."""
    finished = [result for result in results if result.training.finished]
    return min(finished, key=lambda result: result.training.validation.log_loss, default=None)


def _has_weights(context: RunContext, result: Result) -> bool:
    return ModelFolder(context.run, result.candidate).weights.exists()


class _Rounds:
    """What is done after each round of a final training.

    Args:
        context: The run.
        strategy: Told of the round before.
    """

    def __init__(self, context: RunContext, strategy: SuccessiveHalving) -> None:
        self._context, self._strategy, self._field = context, strategy, strategy.field
        self._is_judged = False

    def end(self, results: Sequence[Result]) -> None:
        """Drops what does not go on.

        Raises:
            RunError: Every finalist that was not dropped, or without finalists every baseline, diverged.
        """
        left = self._strategy.field
        if results[0].evaluation.fidelity == 1:
            # Without a search, the baselines are what the run is about.
            judged = results[: len(left)] or results
            if not self._is_judged and best_finished(judged) is None:
                raise none_left(judged)
            self._is_judged = True
            return
        if not left:
            raise none_left(results)
        for candidate in self._field:
            if candidate not in left:
                ModelFolder(self._context.run, candidate).drop_weights()
        share = 100 * results[0].evaluation.fidelity
        self._context.console.say(
            f"{len(left)} of {len(self._field)} finalists go on after {share:.3g} % of the training"
        )
        self._field = left


def described(result: Result, total: int) -> str:
    """How a training went, in one line for a person; `total` are the rows of a whole one."""
    training, candidate = result.training, result.candidate
    name = f"{candidate.network_id} at learning rate {candidate.learning_rate:g}"
    if training.diverged is not None:
        return f"{name}: diverged, {training.diverged}"
    shown = training.best if training.finished else training.lowest
    if candidate.recipe is None:
        of_rows = "" if training.of_rows is None else f" of {training.of_rows:,} training rows"
        when = f"{shown.epoch:,.0f} trees{of_rows}"
    elif training.finished:
        when = f"epoch {training.epoch:.3g}"
    else:
        when = f"{100 * training.rows / total:.3g} % of the training"
    return (
        f"{name}: validation log loss {shown.validation.log_loss:.4f}, AUC {shown.validation.auc:.4f} "
        f"({when}, {training.seconds:.0f} s)"
    )


def none_left(results: Sequence[Result]) -> RunError:
    """Says that all of these trainings diverged, and why."""
    reason = next((result.training.diverged for result in results if result.training.diverged), "")
    what = "finalist" if kind_of(results[0].candidate.network) == SEARCHED else "model"
    return RunError(f"every {what}'s training diverged: {reason}")
