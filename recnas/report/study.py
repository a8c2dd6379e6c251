"""A study's folder → one HTML file: which rankings can be trusted on this data, made of `results.json` alone."""

from __future__ import annotations

from pathlib import Path

from recnas.proxies.expression import SIGEO
from recnas.report import study_figures as figures
from recnas.report.html import compact, duration, figure_html, fill
from recnas.study.analysis import LEAST_TOLD, LEVEL, TOP
from recnas.study.reader import Ranking, Study, read_study
from recnas.study.text import interval, signed, title, too_few, warmup_in_words

SHOWN = 15
"""Rankings that stand in the table's first part."""
PANELS = 6
"""Rankings that are drawn against the truth."""
COUNTED = "parameters"
"""The simplest ranking, which needs no data."""


def study_page(path: Path | str) -> str:
    """The report of a study that has ended, as HTML text.

    Raises:
        InputError: It has not ended, or its results are damaged.
    """
    return _render(read_study(path))


def _render(study: Study) -> str:
    shown = _drawn(study)
    pages = {
        "agreement": figures.agreement_figure(study),
        "seeds": figures.seeds_figure(study),
        "truth": figures.truth_figure(study, shown),
        "time": figures.time_figure(study),
    }
    return fill(
        "study.html",
        study=study,
        title=title(study.results),
        lead=_lead(study),
        verdict="better" if any(item.verdict == "agrees" for item in study.proxies) else "open",
        facts=_facts(study),
        first=study.rankings[:SHOWN],
        others=study.rankings[SHOWN:],
        tops=TOP,
        level=LEVEL,
        hidden=figures.hidden_losses(study),
        signed=signed,
        words=warmup_in_words,
        figures={name: figure_html(name, figure) for name, figure in pages.items()},
    )


def _drawn(study: Study) -> list[Ranking]:
    """The best rankings, each where it is best, SiGeo and the number of parameters among them."""
    best: dict[str, Ranking] = {}
    for item in study.proxies:
        if item.tau is not None:
            best.setdefault(item.name, item)
    wanted = [best[name] for name in (SIGEO, COUNTED) if name in best]
    chosen = [item for item in best.values() if item not in wanted][: PANELS - len(wanted)] + wanted
    return [item for item in best.values() if item in chosen]


def _lead(study: Study) -> str:
    """The outcome of the study in two sentences."""
    known = [item for item in study.proxies if item.tau is not None]
    if not known:
        return "No proxy ranks these architectures: every one gives the same score to all of them."
    best, ceiling = known[0], study.results["noise_ceiling"]
    text = f"The best ranking is {best.label}: τ {signed(best.tau)} ({best.interval})"
    if ceiling is not None:
        text += f", where two trainings of the same architectures agree to {signed(ceiling['value'])}"
    text += "." if best.verdict == "agrees" else ". That cannot be told from chance." if best.of >= LEAST_TOLD else "."
    if few := too_few(study.results):
        text += f" {few}"
    sigeo = next((item for item in known if item.name == SIGEO), None)
    if sigeo is not None and sigeo is not best:
        warmup = warmup_in_words(sigeo.warmup or 0)
        text += f" SiGeo reaches {signed(sigeo.tau)} ({sigeo.interval}) at its best, with {warmup}."
    return text


def _facts(study: Study) -> list[tuple[str, str]]:
    """The header's small print: name and value."""
    results = study.results
    loss, ceiling, diverged = results["loss"], results["noise_ceiling"], len(results["diverged"])
    rows = " · ".join(f"{count:,} {split}" for split, count in results["data"]["rows"].items())
    trained = f"{len(study.candidates)} × {results['seeds']} trainings" if results["seeds"] > 1 else "1 training each"
    facts = [
        ("rows", rows),
        ("search space", results["space"]),
        ("architectures", f"{len(study.candidates)}" + (f", {diverged} more diverged" if diverged else "")),
        ("trained", trained),
        ("a training", duration(results["training_seconds"])),
        ("mean test log loss", f"{loss['best']:.4f} best · {loss['median']:.4f} median · {loss['worst']:.4f} worst"),
        ("deviation between architectures", f"{loss['deviation']:.4f}"),
        ("deviation between seeds", None if loss["noise"] is None else f"{loss['noise']:.4f}"),
        ("noise ceiling", None if ceiling is None else f"τ {signed(ceiling['value'])} ({interval(ceiling)})"),
        (
            "parameters",
            " – ".join(compact(bound(row["parameters"] for row in study.candidates)) for bound in (min, max)),
        ),
        ("finished", f"{study.changed:%Y-%m-%d %H:%M}"),
    ]
    return [(name, value) for name, value in facts if value is not None]
