"""A run's search where its strategy trains candidates itself."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import replace

from recnas.candidates.defaults import DEFAULT_RECIPE
from recnas.candidates.evaluation import Evaluation, Result
from recnas.candidates.joint_space import JointSpace
from recnas.features.schema import Schema
from recnas.runs.plan import PlannedStage
from recnas.runs.settings import Settings
from recnas.search.beginning import Beginning, begin
from recnas.search.context import RunContext
from recnas.search.feeding import no_choice_of
from recnas.search.final_training import described
from recnas.search.fresh_proxies import FreshProxies
from recnas.search.keeping import best_of_families, drop_useless
from recnas.search.loop import TrainingWithinBudget, pursue_as_done
from recnas.search.search_stage import SearchStage
from recnas.search.stage import Findings
from recnas.search.teaching import teach
from recnas.space import SearchSpace
from recnas.strategies.pareto import Point, first_front
from recnas.strategies.problem import Budget, JointProblem
from recnas.util.durations import Limit
from recnas.util.errors import InputError, RunError
from recnas.util.interrupting import FinishNow, asked_on_interrupt

FOR_THE_END = 0.04
"""Share of a budget in time that is left for what comes after the last training."""


class JointSearch(SearchStage):
    """Trains what a strategy proposes, until the budget is spent."""

    def planned(self, settings: Settings, rows: Mapping[str, int]) -> PlannedStage:
        """See `Stage.planned`."""
        limit = settings.limit
        if limit.seconds is not None:
            return PlannedStage(self.name, limit.seconds, "seconds", trains=False)
        return PlannedStage(self.name, limit.candidates, "candidates", DEFAULT_RECIPE.epochs * rows["train"])

    def run(self, context: RunContext, findings: Findings) -> None:
        """See `Stage.run`.

        Raises:
            InputError: The strategy fails, or no candidate is within the limits.
            RunError: None could be trained to its end.
        """
        settings, console = context.settings, context.console
        limit, clock = settings.limit, _Clock(context.history.last_clock)
        strategy = TrainingWithinBudget(self.strategy(settings))
        with console.bar(
            limit.seconds or limit.candidates, self.name, "seconds" if limit.seconds else "candidates"
        ) as bar:
            problem = self._problem(context, begin(context))
            strategy.begin(problem)
            found: dict[str, Result] = {}
            points: dict[str, Point] = {}
            best = float("inf")

            def each(result: Result, known: bool) -> None:
                nonlocal best
                is_new = result.candidate.id not in found
                found[result.candidate.id] = result
                if not result.training.paused:
                    console.say(described(result, result.candidate.passes * problem.pass_rows))
                    best = min(best, -result.score)
                count = result.clock - bar.done if limit.seconds else float(is_new)
                count = max(0.0, min(count, bar.total - bar.done))
                (bar.skip if known else lambda done: bar.update(done, f"best log loss {best:.4f}"))(count)
                if result.training.finished and len(settings.evolution.objectives) > 1:
                    points[result.candidate.id] = problem.point(result)
                on_front = {list(points)[place] for place in (first_front(list(points.values())) if points else ())}
                drop_useless(context.run, found.values(), best_of_families(found.values()) | on_front)

            def train(more: Callable[[], Sequence[Evaluation]]) -> Iterator[Result]:
                return clock.stamped(context.train_as_done(lambda: prepared(more())))

            def prepared(evaluations: Sequence[Evaluation]) -> Sequence[Evaluation]:
                if any(evaluation.candidate.soft_labels for evaluation in evaluations):
                    teach(context, found.values())
                return evaluations

            def ended() -> bool:
                return any(result.training.finished for result in found.values())

            with suppress(FinishNow), asked_on_interrupt(ended):
                for step in limit.steps:
                    # A budget to which something was added is spent as it was before, and then the rest.
                    strategy.spend(_budget(step))
                    pursue_as_done(strategy, context.history, self.name, train, each, in_order=limit.seconds is None)
            bar.skip(bar.total - bar.done)
        if not found:
            if settings.limits.bounds:
                raise InputError("no candidate is within the limits; raise them")
            raise InputError(f"{strategy.name} asked for no candidate; a strategy that is an object is of use once")
        findings.explored.extend(found.values())
        findings.seconds += clock.seconds
        for result in found.values():
            findings.tuned.setdefault(result.candidate.network_id, {})[result.candidate.id] = result
        if not ended():
            raise RunError("no candidate's training came to its end; raise --budget")

    def _problem(self, context: RunContext, beginning: Beginning) -> JointProblem:
        settings = context.settings
        return JointProblem(
            joint_space(settings, beginning, context.dataset.own_schema),
            random.Random(f"{settings.seed}/search"),
            _budget(settings.limit.steps[0]),
            context.costs.admits,
            context.costs.macs,
            context.dataset.rows("train"),
            beginning.at_once,
            beginning.helpful,
            beginning.helpful_to_trees,
            FreshProxies(settings, context.costs.macs, context.console.say),
            context.costs.point,
        )


def joint_space(settings: Settings, beginning: Beginning, own: Schema) -> JointSpace:
    """The space of a run that trains its candidates.

    Args:
        settings: The run's.
        beginning: What was found in the training rows.
        own: The data set's own schema.
    """
    said = settings.inputs.crosses
    return JointSpace(
        settings.families,
        None if settings.block_space is None else SearchSpace.named(settings.block_space),
        tuple(cross for cross in beginning.joint_ids if cross not in said),
        tuple(cross for cross in beginning.of_trees if cross not in said),
        settings.final.recipe,
        settings.inputs,
        beginning.droppable,
        no_choice_of(own),
    )


def _budget(limit: Limit) -> Budget:
    """What of a budget is for training."""
    return Budget(limit.candidates, None if limit.seconds is None else limit.seconds * (1 - FOR_THE_END))


class _Clock:
    """Seconds of a search, those of earlier processes included.

    Args:
        before: Seconds that earlier processes have noted.
    """

    def __init__(self, before: float) -> None:
        self._before, self._start = before, time.perf_counter()

    @property
    def seconds(self) -> float:
        """From the beginning of the search until now."""
        return self._before + time.perf_counter() - self._start

    def stamped(self, results: Iterator[Result]) -> Iterator[Result]:
        """Results with the time at which they are known."""
        with closing(results):
            for result in results:
                yield replace(result, clock=self.seconds)
