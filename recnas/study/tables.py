"""What a study found, as rows: of candidates, of rankings."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from recnas.proxies.declaration import Declaration
from recnas.proxies.expression import Expression
from recnas.space import Architecture, cost
from recnas.study.analysis import TOP, Bootstrap, judge, noise_ceiling, random_regret
from recnas.study.rankings import FITTED, STANDARDISED, scores
from recnas.study.scores import ScoringResult, proxy_names
from recnas.study.settings import StudySettings
from recnas.study.trainings import RepetitionResult

Rows = list[dict[str, Any]]


def candidate_rows(
    counted: tuple[int, int, int],
    archs: Sequence[Architecture],
    trained: Mapping[str, Sequence[RepetitionResult]],
    scored: Sequence[ScoringResult],
    proxies: Collection[str],
) -> Rows:
    """A row for each architecture that no training of which diverged, with what these proxies say of it.

    `counted` are the sizes that costs hang on, see `recnas.nn.model.sizes`. `loss` is its mean test log loss over
    seeds: the truth that rankings are held against.
    """

    def only(figures: Mapping[str, float]) -> dict[str, float]:
        return {name: figure for name, figure in figures.items() if name in proxies}

    rows = []
    for arch in archs:
        runs = trained[arch.id]
        own = [item for item in scored if item.id == arch.id]
        rows.append(
            {
                "id": arch.id,
                "parameters": cost.parameters(arch, *counted),
                "macs": cost.macs(arch, *counted),
                "loss": float(np.mean([item.test.log_loss for item in runs])),
                "auc": float(np.mean([item.test.auc for item in runs])),
                "test": [item.test.log_loss for item in runs],
                "validation": [item.validation.log_loss for item in runs],
                "early": [list(item.early) for item in runs],
                "shares": list(runs[0].shares),
                "early_seconds": [list(item.early_seconds) for item in runs],
                "training_seconds": [item.seconds for item in runs],
                "threads": [item.threads for item in runs],
                "beside": [item.beside for item in runs],
                "values": {f"{item.warmup:g}": only(own[0].values | item.values) for item in own},
                "seconds": {f"{item.warmup:g}": only(own[0].seconds | item.seconds) for item in own},
            }
        )
    return rows


def agreement_rows(
    settings: StudySettings, candidates: Rows, declarations: Mapping[str, Declaration], bootstrap: Bootstrap
) -> Rows:
    """A row for each ranking: how it agrees with the truth, and what it costs.

    A proxy alone is ranked in the direction that it declares; one that no warm-up changes, such as `parameters`, is
    there once, without a warm-up. A sum of several is there a second time with its terms standardised, and `fitted` is
    a ranker on all proxies of a warm-up (see `recnas.study.rankings`). `training 0.05` is the validation log loss that
    the first training had after that share of it, held against the mean of the other seeds, if there are any.
    """
    losses = [row["loss"] for row in candidates]
    names, keys = proxy_names(settings), [f"{amount:g}" for amount in settings.warmups]
    rows = []
    for amount, key in zip(settings.warmups, keys, strict=True):
        # Compiling makes the first time one of a kind.
        seconds = {name: float(np.median([row["seconds"][key][name] for row in candidates])) for name in names}
        for name in names:
            if not declarations[name].inherits and key != keys[0]:
                continue
            shown = amount if declarations[name].inherits else None
            found = scores(name, key, candidates, declarations)
            rows.append(_row(name, shown, found, losses, seconds[name], bootstrap))
        for ranking in settings.rankings:
            if ranking in names:
                continue
            expression = Expression.parse(ranking, amount)
            inherits = any(declarations[name].inherits for name in expression.names)
            if not inherits and key != keys[0]:
                continue
            shown = amount if inherits else None
            spent = _together(expression.terms, seconds, declarations)
            for form in ("", STANDARDISED) if len(expression.terms) > 1 else ("",):
                found = scores(form + ranking, key, candidates, declarations)
                rows.append(_row(form + ranking, shown, found, losses, spent, bootstrap))
        inherits = any(declarations[name].inherits for name in names)
        if len(names) > 1 and (inherits or key == keys[0]):
            found = scores(FITTED, key, candidates, declarations)
            shown = amount if inherits else None
            rows.append(_row(FITTED, shown, found, losses, _together(names, seconds, declarations), bootstrap))
    others = [float(np.mean(row["test"][1:] or row["test"])) for row in candidates]
    usual = training_times(candidates)[0]
    alike = [row["early_seconds"][0] for row in candidates if _done_like(row, 0, usual)]
    for place in range(min(len(row["early"][0]) for row in candidates)):
        found = [-row["early"][0][place] for row in candidates]
        # The first seed's trainings may all have been done in a way that is not the usual one.
        timed = alike or [row["early_seconds"][0] for row in candidates]
        spent = float(np.mean([seconds[place] for seconds in timed]))
        rows.append(_row(f"training {candidates[0]['shares'][place]:.2g}", None, found, others, spent, bootstrap))
    return rows


def _together(names: Iterable[str], seconds: Mapping[str, float], declarations: Mapping[str, Declaration]) -> float:
    """What proxies of a candidate take: those that train the sum; of the others, which share, the longest counts."""
    alone = [seconds[name] for name in names if declarations[name].trains]
    return sum(alone) + max((seconds[name] for name in names if not declarations[name].trains), default=0.0)


def training_times(candidates: Rows) -> Rows:
    """How long a training took on the mean, for each number of threads and of trainings side by side.

    A study may be resumed with others than it began with, and their times say nothing of one another. Most
    trainings first.
    """
    times: dict[tuple[int | None, int | None], list[float]] = {}
    for row in candidates:
        for way in zip(row["threads"], row["beside"], row["training_seconds"], strict=True):
            times.setdefault(way[:2], []).append(way[2])
    return [
        {"threads": threads, "beside": beside, "trainings": len(seconds), "seconds": float(np.mean(seconds))}
        for (threads, beside), seconds in sorted(times.items(), key=lambda item: len(item[1]), reverse=True)
    ]


def _done_like(row: Mapping[str, Any], seed: int, way: Mapping[str, Any]) -> bool:
    """Whether a candidate's training had so many threads, and others beside it."""
    return (row["threads"][seed], row["beside"][seed]) == (way["threads"], way["beside"])


def summary(settings: StudySettings, candidates: Rows, bootstrap: Bootstrap) -> dict[str, Any]:
    """What the truth looks like, whatever the ranking."""
    tests = np.array([row["test"] for row in candidates]).T
    ceiling = noise_ceiling(tests, bootstrap)
    means = tests.mean(0)
    return {
        "seeds": settings.seeds,
        "noise_ceiling": None if ceiling is None else vars(ceiling),
        "loss": {
            "best": float(means.min()),
            "median": float(np.median(means)),
            "worst": float(means.max()),
            "deviation": float(means.std(ddof=1)),
            "noise": float(tests.std(0, ddof=1).mean()) if len(tests) > 1 else None,
        },
        "random_regret": list(random_regret(means.tolist())),
        # Of those that were done alike; the others' times are told beside it.
        "training_seconds": training_times(candidates)[0]["seconds"],
        "training_times": training_times(candidates),
    }


def _row(
    ranking: str,
    warmup: float | None,
    scores: Sequence[float],
    losses: Sequence[float],
    seconds: float,
    bootstrap: Bootstrap,
) -> dict[str, Any]:
    found = judge(scores, losses, bootstrap)
    return {
        "ranking": ranking,
        "warmup": warmup,
        "tau": found.tau.value,
        "tau_low": found.tau.low,
        "tau_high": found.tau.high,
        "rho": found.rho.value,
        "rho_low": found.rho.low,
        "rho_high": found.rho.high,
        **{f"regret_{top}": regret for top, regret in zip(TOP, found.regret, strict=True)},
        "ranked": found.ranked,
        "seconds": seconds,
    }
