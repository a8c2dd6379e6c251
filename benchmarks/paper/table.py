"""The rows of SiGeo's Table 5 that we have, on one's own data, beside the published figures for Criteo.

Baselines are trained as `recnas baselines` trains them: by their own recipes, or once with each learning rate where
the preset has it so (`baseline_recipes: like-finalists`). Searched models as `recnas search` does: the best candidates
of a search at the first learning rate, the best of them at the others too. What is best on validation counts; its
figures on the test rows are shown.

- Random search trains so many random candidates, and does not rank them.
- One-shot is NASRec's: a whole epoch of warm-up, the last layer fine-tuned for 500 steps of 512
  rows, validation log loss.
- ZiCo and SiGeo at each warm-up: none is the paper's zero-shot setting, 1 % its sub-one-shot, 100 % its one-shot.
- `short_training`, a short training from scratch, and the two stages that `recnas search` takes by default, of random
  candidates; no paper has them.

Published: Table 5 of SiGeo's Appendix I, whose search costs are in GPU days. It has no other baselines than those
with a figure there, and for ZiCo no whole epoch of warm-up. Its data sets need an account at their publisher: compare
the order of the rows, not their figures.

Times are seconds of one core; for baselines of one worker, which may have several. `search` is warm-up and
scores, of the first search also what is compiled at its start; `training` is what a method trains from scratch, all
learning rates included, also where two methods share a training.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.paper.runs import RANDOM, Method, Runs
from benchmarks.paper.sections import Section
from recnas.candidates.evaluation import Quality
from recnas.candidates.families import FAMILIES
from recnas.candidates.network import BASELINE, SEARCHED
from recnas.proxies.expression import SIGEO, USUAL
from recnas.report.html import NOTHING, compact, decimals
from recnas.runs.rungs import other_learning_rates
from recnas.study.text import to_csv
from recnas.study.trainings import RepetitionResult

TITLE = "Result table: baselines and searched models"
MODELS = "models.csv"
HEADER = (
    "method",
    "validation\nlog loss",
    "validation\nAUC",
    "test\nlog loss",
    "test\nAUC",
    "dense\nparameters",
    "MACs\na row",
    "search,\nseconds",
    "training,\nseconds",
    "published:\nlog loss",
    "published:\nAUC",
    "published:\nGPU days",
)
Published = tuple[float, float, float | None]
"""Test log loss and AUC on Criteo, GPU days of the search."""
PUBLISHED_OF_BASELINES: Mapping[str, Published] = {
    "dlrm": (0.4436, 0.8085, None),
    "deepfm": (0.4432, 0.8086, None),
    "xdeepfm": (0.4418, 0.8052, None),
    "autoint+": (0.4427, 0.8090, None),
}
PUBLISHED: Mapping[tuple[str, str, float | None], Published] = {
    ("none", "nasrec-small", None): (0.4411, 0.8105, 1.0),
    ("none", "nasrec-full", None): (0.4418, 0.8098, 1.0),
    ("one_shot", "nasrec-small", 1): (0.4395, 0.8119, 0.25),
    ("one_shot", "nasrec-full", 1): (0.4404, 0.8109, 0.3),
    (SIGEO, "nasrec-small", 1): (0.4399, 0.8115, 0.1),
    (SIGEO, "nasrec-full", 1): (0.4403, 0.8110, 0.12),
    ("zico", "nasrec-small", 0.01): (0.4404, 0.8109, 0.1),
    ("zico", "nasrec-full", 0.01): (0.4403, 0.8100, 0.12),
    (SIGEO, "nasrec-small", 0.01): (0.4396, 0.8117, 0.1),
    (SIGEO, "nasrec-full", 0.01): (0.4397, 0.8116, 0.12),
    ("zico", "nasrec-small", 0): (0.4408, 0.8105, 0.09),
    ("zico", "nasrec-full", 0): (0.4404, 0.8108, 0.11),
    (SIGEO, "nasrec-small", 0): (0.4404, 0.8109, 0.09),
    (SIGEO, "nasrec-full", 0): (0.4404, 0.8108, 0.11),
}
"""By score, space and warm-up."""


@dataclass(frozen=True)
class MethodResult:
    """What a method came to with one seed.

    Attributes:
        method: Its name.
        kind: `baseline` or `searched`.
        seed: Of search and training.
        model: Id of the best on validation; None, as are its figures, when all trainings diverged.
        learning_rate: Its schedule's peak.
        validation: Its quality.
        test: The same.
        parameters: Of its dense part.
        macs: Multiply–accumulates a row.
        search_seconds: One core's, for warm-up and scores; None for baselines.
        training_seconds: One core's, for all that was trained from scratch.
        published: If the paper has it.
    """

    method: str
    kind: str
    seed: int
    model: str | None
    learning_rate: float | None
    validation: Quality | None
    test: Quality | None
    parameters: int | None
    macs: int | None
    search_seconds: float | None
    training_seconds: float
    published: Published | None

    def row(self) -> dict[str, Any]:
        """Its line of `models.csv`."""
        qualities = {name: getattr(self, name) for name in ("validation", "test")}
        qualities = {name: quality and quality.to_json() for name, quality in qualities.items()}
        published = self.published or (None, None, None)
        return (
            vars(self) | qualities | {"published": dict(zip(("log_loss", "auc", "gpu_days"), published, strict=True))}
        )


def methods_of(warmups: Sequence[float]) -> list[Method]:
    """The searches of the table's rows of searched models, but for the random one."""
    return [
        Method("one-shot (NASRec)", "one_shot", 1.0),
        *(Method("ZiCo", "zico", amount) for amount in warmups),
        *(Method("SiGeo", SIGEO, amount) for amount in warmups),
        Method("short_training", "short_training"),
        Method("two stages", USUAL),
    ]


def run(runs: Runs, output: Path, top_k: int, random: int, warmups: Sequence[float], seeds: int) -> Section:
    """Trains baselines, searches, trains the best of each search, and writes the table.

    Args:
        runs: Does the searches and the trainings.
        output: Folder of the files.
        top_k: Candidates of each search that are trained.
        random: Candidates that random search trains.
        warmups: Amounts of warm-up for ZiCo and SiGeo.
        seeds: How often it all is done.

    Raises:
        RunError: A warm-up diverged, or all baselines did.
    """
    results: list[MethodResult] = []
    for seed in range(seeds):
        results += _baselines(runs, seed) + _searched(runs, seed, top_k, random, warmups)
    methods = {item.method: [other for other in results if other.method == item.method] for item in results}
    losses = {
        name: _mean([item.validation and item.validation.log_loss for item in own]) for name, own in methods.items()
    }
    best = min((name for name in methods if losses[name] is not None), key=losses.__getitem__, default=None)
    settings = runs.settings
    section = Section(
        TITLE,
        (
            f"{runs.data_name}, {settings.block_space}, {runs.dataset.rows('train'):,} training rows. Searches of "
            f"{settings.evolution.candidates:,} candidates, the best {top_k} trained; random search trains {random}. "
            f"{'One seed' if seeds == 1 else f'{seeds} seeds: means, ± standard deviations'}. Marked is the lowest "
            f"validation log loss. Times are seconds of one core. Published are test log loss and AUC on Criteo.",
        ),
        HEADER,
        tuple(_cells(name, own) for name, own in methods.items()),
        (MODELS,),
        tuple(
            "best" if name == best else "baseline" if own[0].kind == BASELINE else "" for name, own in methods.items()
        ),
    )
    section.save(output, {MODELS: to_csv([item.row() for item in results])})
    return section


def _baselines(runs: Runs, seed: int) -> list[MethodResult]:
    results = []
    for model in runs.train_baselines(seed):
        name, sound = model["id"], model["status"] == "trained"
        results.append(
            MethodResult(
                method=FAMILIES[name].title,
                kind=BASELINE,
                seed=seed,
                model=name if sound else None,
                learning_rate=model["learning_rate"] if sound else None,
                validation=Quality(**model["validation"]) if sound else None,
                test=Quality(**model["test"]) if sound else None,
                parameters=model["parameters"],
                macs=model["macs"],
                search_seconds=None,
                training_seconds=model["seconds"],
                published=PUBLISHED_OF_BASELINES.get(name),
            )
        )
    return results


def _searched(runs: Runs, seed: int, top_k: int, random: int, warmups: Sequence[float]) -> list[MethodResult]:
    methods = [RANDOM, *methods_of(warmups)]
    searches = {method: runs.search(method, seed) for method in methods}
    finalists = {method: searches[method].archs[: random if method == RANDOM else top_k] for method in methods}
    archs = {arch.id: arch for own in finalists.values() for arch in own}
    first = runs.settings.final.optimization.learning_rate
    trained = {first: runs.train(list(archs.values()), seed)}
    leaders = {method: _best([trained[first][arch.id] for arch in own]) for method, own in finalists.items()}
    again = [archs[leader.id] for leader in leaders.values() if leader is not None]
    for rate in other_learning_rates(runs.settings.final):
        trained[rate] = runs.train(again, seed, rate) if again else {}
    results = []
    for method, own in finalists.items():
        leader = leaders[method]
        known = {} if leader is None else {rate: items[leader.id] for rate, items in trained.items()}
        chosen = _best(list(known.values()))
        others = sum(item.seconds for rate, item in known.items() if rate != first)
        results.append(
            MethodResult(
                method=method.label,
                kind=SEARCHED,
                seed=seed,
                model=chosen and chosen.id,
                learning_rate=next((rate for rate, item in known.items() if item is chosen), None),
                validation=chosen and chosen.validation,
                test=chosen and chosen.test,
                parameters=chosen and chosen.parameters,
                macs=chosen and runs.macs(archs[chosen.id]),
                search_seconds=searches[method].seconds,
                training_seconds=sum(trained[first][arch.id].seconds for arch in own) + others,
                published=PUBLISHED.get((method.score, runs.settings.block_space, method.warmup)),
            )
        )
    return results


def _best(trainings: Sequence[RepetitionResult]) -> RepetitionResult | None:
    """The lowest validation log loss; None when all diverged."""
    sound = [item for item in trainings if item.validation is not None]
    return min(sound, key=lambda item: item.validation.log_loss, default=None)


def _mean(values: Sequence[float | None]) -> float | None:
    """None when there is none for one of the seeds."""
    return None if None in values else statistics.mean(values)


def _cells(name: str, results: Sequence[MethodResult]) -> tuple[str, ...]:
    """A row of the table: means over seeds."""
    qualities = [
        _spread([quality and getattr(quality, key) for quality in (getattr(item, split) for item in results)])
        for split in ("validation", "test")
        for key in ("log_loss", "auc")
    ]
    sizes = [compact(_mean([getattr(item, key) for item in results])) for key in ("parameters", "macs")]
    times = [_mean([getattr(item, key) for item in results]) for key in ("search_seconds", "training_seconds")]
    log_loss, auc, days = results[0].published or (None, None, None)
    return (
        name,
        *qualities,
        *sizes,
        *(NOTHING if value is None else f"{value:,.0f}" for value in times),
        decimals(log_loss),
        decimals(auc),
        NOTHING if days is None else f"{days:g}",
    )


def _spread(values: Sequence[float | None]) -> str:
    """`0.5668`, or with several seeds `0.5668 ± 0.0012`."""
    mean = _mean(values)
    if mean is None or len(values) == 1:
        return decimals(mean)
    return f"{mean:.4f} ± {statistics.stdev(values):.4f}"
