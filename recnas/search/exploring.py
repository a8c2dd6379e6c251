"""A run's exploring: a strategy proposes candidates, and they are ranked without being trained."""

from __future__ import annotations

import copy
import random
import time
from collections import deque
from collections.abc import Mapping

from recnas.candidates.evaluation import Result
from recnas.runs.history import FILE_NAME
from recnas.runs.outlook import RECENT_CANDIDATES
from recnas.runs.plan import PlannedStage
from recnas.runs.settings import Settings
from recnas.search.context import RunContext
from recnas.search.costs import Costs
from recnas.search.loop import WithinBudget, pursue
from recnas.search.plan import plan_scoring
from recnas.search.search_stage import SearchStage
from recnas.search.stage import Findings
from recnas.space import SearchSpace
from recnas.strategies.base import Strategy
from recnas.strategies.problem import Budget, Problem
from recnas.strategies.registry import named_failures
from recnas.util.errors import InputError


def make_problem(settings: Settings, costs: Costs) -> Problem:
    """What a run's strategy works on."""
    return Problem(
        SearchSpace.named(settings.block_space),
        settings.final.recipe,
        random.Random(f"{settings.seed}/search"),
        Budget(settings.evolution.candidates),
        costs.affordable,
        costs.smallest,
        costs.point,
        settings.inputs,
    )


def check_limits(strategy: Strategy, settings: Settings, costs: Costs) -> None:
    """Lets a copy of a strategy ask once before the warm-up: limits that leave too few candidates are known at once.

    Raises:
        InputError: They do.
    """
    with named_failures(type(strategy), "cannot be copied, to be tried under the limits beforehand"):
        strategy = copy.deepcopy(strategy)
    trial = WithinBudget(strategy)
    trial.begin(make_problem(settings, costs))
    trial.ask()


class Exploring(SearchStage):
    """Ranks what a strategy proposes."""

    def planned(self, settings: Settings, rows: Mapping[str, int]) -> PlannedStage:
        """See `Stage.planned`."""
        return plan_scoring(self.name, settings.proxy, settings.ranking.first, settings.evolution.candidates)

    def run(self, context: RunContext, findings: Findings) -> None:
        """See `Stage.run`.

        Raises:
            InputError: The strategy fails, or finds no candidate.
        """
        console, history = context.console, context.history
        if history.dropped:
            console.say(f"{context.run / FILE_NAME}: the last line was cut short; its candidate is evaluated again")
        if before := history.num_of(self.name):
            console.say(f"{self.name}: {before:,} candidates scored before")
        known_before = 0.0
        best, recent = -float("inf"), deque[float](maxlen=RECENT_CANDIDATES)
        problem = make_problem(context.settings, context.costs)
        strategy = WithinBudget(self.strategy(context.settings))
        strategy.begin(problem)
        start = time.perf_counter()
        with console.bar(problem.budget.evaluations, self.name, "candidates") as bar:

            def each(result: Result, known: bool) -> None:
                nonlocal best, known_before
                findings.explored.append(result)
                best = max(best, result.score)
                if known:
                    known_before += result.seconds
                    bar.skip()
                    return
                recent.append(result.seconds)
                if taken := sum(recent):
                    bar.went(context.executor.side_by_side * len(recent) / taken)
                bar.update(note=f"best score {best:.2f}")

            pursue(strategy, history, self.name, context.score, each)
        if not findings.explored:
            raise InputError(f"{strategy.name} asked for no candidate; a strategy that is an object is of use once")
        # What a process before spent is known by its candidates.
        seconds = known_before / context.executor.side_by_side + time.perf_counter() - start
        count = len(findings.explored)
        if count < problem.budget.evaluations:
            console.say(f"{self.name}: no new candidate was found after {count:,}; it ends here")
        console.say(f"{self.name}: {count:,} candidates in {seconds:.0f} s ({count / seconds:.1f} a second)")
        findings.seconds += seconds
