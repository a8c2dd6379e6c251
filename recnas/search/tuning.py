"""A run's tuning of baselines: each family is searched over its choices, inputs and recipe, in the same time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from recnas.candidates.candidate import Candidate
from recnas.candidates.evaluation import Result
from recnas.nn.baselines.registry import imported_baseline
from recnas.runs.final_settings import TuningSettings
from recnas.runs.folder import TUNING
from recnas.runs.plan import PlannedStage
from recnas.runs.settings import Settings
from recnas.search.baseline_candidates import baseline_candidates
from recnas.search.context import RunContext
from recnas.search.feeding import no_choice_of
from recnas.search.final_training import best_finished, described, none_left
from recnas.search.keeping import best_of_families, drop_others, drop_useless
from recnas.search.loop import pursue
from recnas.search.scoring import stage_seed
from recnas.search.stage import Findings, Stage
from recnas.strategies.tuning import FamilyTuning
from recnas.util.user_code import is_user_code


class Tuning(Stage):
    """Tunes families; what they came to stands beside the final training's models.

    Args:
        baselines: The families' names.
    """

    name = TUNING

    def __init__(self, baselines: Sequence[str]) -> None:
        self._baselines = list(dict.fromkeys(baselines))

    def planned(self, settings: Settings, rows: Mapping[str, int]) -> PlannedStage:
        """See `Stage.planned`."""
        tuning = settings.final.tuning
        if tuning.trials is None:
            return PlannedStage(self.name, tuning.seconds, "seconds", trains=False)
        own = _first_of_each(baseline_candidates(settings, self._baselines))
        mean = sum(candidate.passes for candidate in own) / len(own) * rows["train"]
        return PlannedStage(self.name, tuning.trials * len(own), "trials", mean)

    def run(self, context: RunContext, findings: Findings) -> None:
        """See `Stage.run`.

        Raises:
            RunError: Without a search, no trial of any family came to its end.
        """
        settings, tuning = context.settings, context.settings.final.tuning
        own = _first_of_each(baseline_candidates(settings, self._baselines))
        strategy = FamilyTuning(
            own,
            tuning.trials,
            stage_seed(settings, "tuning/families"),
            _Clock(tuning, settings.processes).goes_on,
            no_choice_of(context.dataset.own_schema),
            {name: imported_baseline(name).choices for name in self._baselines if is_user_code(name)},
        )
        pass_rows = context.dataset.rows("train")
        found: dict[str, dict[str, Result]] = {candidate.network_id: {} for candidate in own}
        planned = self.planned(settings, {"train": pass_rows}).total
        with context.console.bar(planned, self.name, "trials" if tuning.trials else "seconds") as bar:

            def each(result: Result, known: bool) -> None:
                found[result.candidate.network_id][result.candidate.id] = result
                context.console.say(described(result, result.candidate.passes * pass_rows))
                work = 1 if tuning.trials else result.seconds / settings.processes
                # The last trials end after the time is up.
                (bar.skip if known else bar.update)(min(work, bar.total - bar.done))

            def end(results: Sequence[Result]) -> None:
                # A family's trials are many, and few of them may be wanted in the end.
                tried = [result for known in found.values() for result in known.values()]
                drop = drop_useless if settings.final.ensemble > 1 else drop_others
                drop(context.run, tried, best_of_families(tried))

            pursue(strategy, context.history, self.name, context.train, each, end)
            bar.skip(bar.total - bar.done)
        tried = [result for results in found.values() for result in results.values()]
        # Without a search, the baselines are what the run is about.
        if not settings.searches and best_finished(tried) is None:
            raise none_left(tried)
        findings.tuned = found


class _Clock:
    """Whether the time for tuning is up, by the seconds that the recorded trials took: the same in a resumed run.

    Args:
        settings: How much there is.
        processes: That work side by side.
    """

    def __init__(self, settings: TuningSettings, processes: int) -> None:
        self._settings, self._processes = settings, processes

    def goes_on(self, results: Sequence[Result]) -> bool:
        """Whether there is time for another round."""
        seconds = self._settings.seconds
        return seconds is None or sum(result.seconds for result in results) / self._processes < seconds


def _first_of_each(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The first candidate of each family."""
    return list({candidate.network_id: candidate for candidate in reversed(candidates)}.values())[::-1]
