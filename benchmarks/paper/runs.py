"""Searches and trainings from scratch that the ablation and the table share: each is done once, in one folder.

What was done before is not done again, so that a run that was killed goes on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

from recnas.candidates.candidate import Candidate
from recnas.candidates.evaluation import Evaluation
from recnas.execution.executor import computing_with
from recnas.execution.opening import open_executor
from recnas.nn.model import sizes
from recnas.runs.folder import finished, open_run
from recnas.runs.plan import Plan, PlannedStage
from recnas.runs.settings import Settings
from recnas.search.baselines import train_baselines
from recnas.search.context import RunOptions
from recnas.search.costs import Costs
from recnas.search.ensembling import Ensembling
from recnas.search.feeding import keep_inputs, open_data
from recnas.search.final_training import FinalTraining, at
from recnas.search.run import open_context
from recnas.search.scoring import SUPERNET_WEIGHTS, check_proxy_rows
from recnas.search.stages import go_through, stages_of
from recnas.search.testing import Test
from recnas.space import Architecture, cost
from recnas.strategies.evolution import EvolutionSettings
from recnas.study.folder import TRAINING
from recnas.study.run import StudyContext, train_all
from recnas.study.settings import StudySettings
from recnas.study.text import warmup_in_words
from recnas.study.trainings import Repetition, RepetitionResult, is_done
from recnas.study.worker import StudyWorker
from recnas.util.console import Console
from recnas.util.errors import InputError
from recnas.util.files import read_json, write_json
from recnas.util.plain_values import leaves

BEGUN_WITH, DONE = "settings.json", "search.json"


@dataclass(frozen=True)
class Method:
    """How a search ranks its candidates.

    Attributes:
        name: As shown.
        score: As `recnas search --proxy` takes it; `none` for random candidates. With two stages candidates are random,
            too, as in `recnas search`.
        warmup: The amount; None where nothing that it measures is inherited.
    """

    name: str
    score: str
    warmup: float | None = None

    @property
    def label(self) -> str:
        """With its warm-up: `SiGeo, 1 % warm-up`."""
        return self.name if self.warmup is None else f"{self.name}, {warmup_in_words(self.warmup)}"

    @property
    def folder(self) -> str:
        """Of its search."""
        name = re.sub(r"\W+", "-", self.score)
        return name if self.warmup is None else f"{name}-{self.warmup:g}"


RANDOM = Method("random", "none")


@dataclass(frozen=True)
class Ranked:
    """What a search came to.

    Attributes:
        archs: Its candidates, best first; with two stages those of the second.
        seconds: One core's, for warm-up and scores.
    """

    archs: tuple[Architecture, ...]
    seconds: float


def evolution_of(candidates: int) -> EvolutionSettings:
    """An evolution of so many candidates: as published for 2,048, with a smaller population for fewer.

    About a quarter of the candidates are random, 128 at most; half the population is a tournament; of a round's parent
    come 8 children.
    """
    population = min(128, max(1, candidates // 4))
    children = min(8, population)
    iterations = (candidates - population) // children
    population = candidates - iterations * children
    return EvolutionSettings(population, iterations, tournament=(population + 1) // 2, children=children)


class Runs:
    """One folder of searches and trainings on one data set.

    Args:
        output: The folder; it may hold what an earlier process did.
        settings: What all have in common; run, seed, warm-up, score and finalists are set here.
        candidates: Of each search.
        console: Where progress is shown.

    Raises:
        InputError: The data set or the settings do not fit, or differ from those that the folder was begun with.
    """

    def __init__(self, output: Path, settings: Settings, candidates: int, console: Console) -> None:
        self.output, self.console = output, console
        self.settings = replace(settings, evolution=evolution_of(candidates))
        self.dataset = open_data(settings)
        check_proxy_rows(settings, self.dataset)
        self._begin(candidates)

    def search(self, method: Method, seed: int) -> Ranked:
        """A search of its own for a method: warm-up, then evolution; for `RANDOM`, as many random candidates.

        Raises:
            RunError: The warm-up diverged.
        """
        run = self.output / "searches" / str(seed) / method.folder
        settings = replace(
            self.settings,
            run=str(run),
            seed=seed,
            strategy="random" if method == RANDOM else None,
            # Threads score as many at once as processes would, and need not be started anew for each search.
            workers=1,
            ray=None,
            warmup=replace(self.settings.warmup, amount=method.warmup or 0.0),
            proxy=replace(self.settings.proxy, score=method.score),
        )
        supernet = run / SUPERNET_WEIGHTS.parent
        if not (run / DONE).exists():
            self.console.say(f"search with seed {seed}: {method.label}")
            ranking = [
                stage for stage in stages_of(settings) if not isinstance(stage, FinalTraining | Ensembling | Test)
            ]
            costs = Costs(settings, self.dataset)
            with open_context(settings, self.dataset, costs, self.console, RunOptions(resume=True)) as context:
                keep_inputs(context.run, settings.inputs, self.dataset)
                findings = go_through(context, ranking)
                warmup = supernet / "warmup.json"
                seconds = {
                    "warmup": read_json(warmup)["seconds"] if warmup.exists() else 0.0,
                    "scores": sum(result.seconds for result in (*findings.explored, *(findings.reranked or ()))),
                }
                ranked = sorted(findings.ranked, key=lambda result: -result.score)
                archs = [result.candidate.network.to_json() for result in ranked]
                write_json(run / DONE, {"candidates": len(findings.explored), "seconds": seconds, "best_first": archs})
        # Nobody asks for the warm supernet any more, and it is large.
        for path in supernet.glob("*.safetensors"):
            path.unlink()
        done = read_json(run / DONE)
        return Ranked(tuple(map(Architecture.from_json, done["best_first"])), sum(done["seconds"].values()))

    def train(
        self, archs: Sequence[Architecture], seed: int, learning_rate: float | None = None
    ) -> dict[str, RepetitionResult]:
        """Trains architectures from scratch and measures them; one that is given twice is trained once.

        Args:
            archs: Which ones.
            seed: Of weights and of the rows' order.
            learning_rate: The schedule's peak; None for that of the settings.

        Returns:
            What came of each, by id.
        """
        common = {item.name: getattr(self.settings, item.name) for item in fields(Settings)}
        common |= {"run": str(self.output / "trainings" / str(seed)), "seed": seed}
        settings = StudySettings(**common, seeds=1, shares=())
        recipe = settings.final.recipe
        if learning_rate is not None:
            recipe = at(recipe, learning_rate)
        candidates = [Candidate(arch, recipe, settings.inputs) for arch in {arch.id: arch for arch in archs}.values()]
        # What is done is only read: no processes are started for it.
        if all(is_done(settings, Repetition(Evaluation(candidate, 1.0), 0)) for candidate in candidates):
            settings = replace(settings, workers=1, ray=None)
        with (
            open_executor(
                settings.workers, settings.ray, StudyWorker, (settings.as_seen_by_workers,), self.console.say
            ) as executor,
            open_run(settings, self.dataset.schema, overwrite=False, resume=True) as run,
        ):
            keep_inputs(run, settings.inputs, self.dataset)
            plan = Plan((PlannedStage(TRAINING, len(candidates), "trainings"),))
            trained = train_all(StudyContext(run, settings, self.dataset, candidates, plan, executor, self.console))
        return {item.id: item for item in trained}

    def train_baselines(self, seed: int) -> list[dict[str, Any]]:
        """The settings' baselines, as `recnas baselines` trains them: their entries in `results.json`.

        Raises:
            RunError: None could be trained to the end.
        """
        settings = replace(
            self.settings,
            run=str(self.output / "baselines" / str(seed)),
            seed=seed,
            final=replace(self.settings.final, top_k=0),
        )
        results = finished(settings)
        if results is None:
            self.console.say(f"baselines, seed {seed}")
            with computing_with(threads=1):
                results = train_baselines(settings, RunOptions(resume=True, progress=self.console.wanted))
        return results["models"]

    def macs(self, arch: Architecture) -> int:
        """Multiply–accumulates a row of an architecture's dense part."""
        return cost.macs(arch, *sizes(self.dataset.schema))

    @property
    def data_name(self) -> str:
        """What the data set is called."""
        return self.dataset.name

    def _begin(self, candidates: int) -> None:
        """Keeps what the folder's figures hang on, or compares."""
        now = {
            "schema": self.dataset.schema.to_json(),
            "candidates": candidates,
            "settings": self.settings.to_mapping(),
        }
        path = self.output / BEGUN_WITH
        if not path.exists():
            self.output.mkdir(parents=True, exist_ok=True)
            write_json(path, now)
            return
        before = read_json(path)
        if before["schema"] != now["schema"]:
            raise InputError(
                f"{self.output} was begun with another data set than {self.settings.data}; choose another --output"
            )
        self._compare("--candidates", before["candidates"], candidates)
        # Settings that are new since have their default.
        then = Settings.from_mapping(before["settings"], str(path)).to_mapping()
        for place, _, _ in leaves(Settings):
            # Each search and each training has its own of the seed.
            if place[0] not in Settings.free_to_change and place != ("seed",):
                self._compare(".".join(place), *(_at(item, place) for item in (then, now["settings"])))

    def _compare(self, name: str, before: Any, now: Any) -> None:
        if before != now:
            raise InputError(f"{self.output} was begun with {name} {before}, not {now}; choose another --output")


def _at(values: Mapping[str, Any], place: Sequence[str]) -> Any:
    return reduce(getitem, place, values)
