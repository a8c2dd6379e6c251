"""A study's results to read: as CSV, as Markdown, as text in columns. Needs no torch."""

from __future__ import annotations

import csv
import io
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from recnas.study.analysis import LEAST_TOLD, TOP

SHOWN = 15
"""Rankings that a terminal shows."""
WIDTH = 110
NOTHING = "–"
HEADER = ("ranking", "warm-up", "τ", "95 %", "ρ", *(f"regret, top {top}" for top in TOP), "s a candidate")


def to_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as CSV: nested values have columns of their own, such as `values.0.01.zico`; None is an empty cell."""
    flat = [dict(_flatten(row)) for row in rows]
    columns = list(dict.fromkeys(key for row in flat for key in row))
    file = io.StringIO()
    writer = csv.DictWriter(file, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return file.getvalue()


def to_markdown(results: Mapping[str, Any]) -> str:
    """A study's results as a page of Markdown; best ranking first."""
    parts = [f"# Ranking study: {title(results)}", *sentences(results)]
    table = [_line(HEADER), _line(["---"] * len(HEADER)), *(_line(cells) for cells in _cells(results))]
    return "\n\n".join([*parts, "\n".join(table)]) + "\n"


def to_text(results: Mapping[str, Any], shown: int = SHOWN) -> str:
    """A study's results for a terminal: its best rankings in columns."""
    cells = _cells(results)
    table = [HEADER, *cells[: shown + 1]]
    widths = [max(len(row[column]) for row in table) for column in range(len(HEADER))]
    lines = [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in table
    ]
    if (more := len(cells) - 1 - shown) > 0:
        lines.append(f"… and {more} more in {results['run']}/study.md")
    paragraphs = [textwrap.fill(sentence, WIDTH) for sentence in (title(results), *sentences(results))]
    return "\n\n".join([*paragraphs, "\n".join(lines)])


def title(results: Mapping[str, Any]) -> str:
    """What was studied."""
    return f"{results['data']['name']}, {results['space']}"


def sentences(results: Mapping[str, Any]) -> list[str]:
    """What the truth looks like, whatever the ranking."""
    loss, ceiling = results["loss"], results["noise_ceiling"]
    noise = "" if loss["noise"] is None else f", between seeds {loss['noise']:.4f}"
    found = [
        f"{len(results['candidates'])} random architectures, {results['seeds']} trainings of each on "
        f"{results['data']['rows']['train']:,} rows ({_times(results)}). Mean test log "
        f"loss: best {loss['best']:.4f}, median {loss['median']:.4f}, worst {loss['worst']:.4f}; standard deviation "
        f"between architectures {loss['deviation']:.4f}{noise}."
    ]
    if results["diverged"]:
        found.append(f"Left out, as a training diverged: {', '.join(results['diverged'])}.")
    if few := too_few(results):
        found.append(few)
    if ceiling is not None:
        found.append(
            f"Noise ceiling (Kendall's τ between two seeds): {signed(ceiling['value'])} ({interval(ceiling)})."
        )
    return found


def too_few(results: Mapping[str, Any]) -> str | None:
    """That nothing can be told of rankings from so few architectures; None where there are enough."""
    if (count := len(results["candidates"])) >= LEAST_TOLD:
        return None
    return (
        f"{count} architectures are too few to tell rankings from chance, whatever their intervals; {LEAST_TOLD} are "
        "the least from which anything is claimed (--candidates)."
    )


def _times(results: Mapping[str, Any]) -> str:
    """What a training took; where not all were done alike, each way by itself, as they do not compare."""
    usual, *others = results.get("training_times") or [{"seconds": results["training_seconds"]}]
    if not others:
        return f"{usual['seconds']:.3g} s a training"
    ways = [
        f"{item['seconds']:.3g} s ({item['trainings']}, {item['beside']} side by side with {item['threads']} thread"
        f"{'' if item['threads'] == 1 else 's'} each)"
        for item in (usual, *others)
    ]
    return f"a training took {'; '.join(ways)}, times that do not compare"


def ordered(agreement: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Highest τ first; those without one last."""
    return sorted(agreement, key=lambda row: (row["tau"] is None, -(row["tau"] or 0)))


def warmup_in_words(amount: float) -> str:
    """`no warm-up`, `1 % warm-up`, `3 epochs of warm-up`."""
    if amount == 0:
        return "no warm-up"
    return f"{100 * amount:g} % warm-up" if amount <= 1 else f"{amount:g} epochs of warm-up"


def signed(value: float | None) -> str:
    """A correlation: `+0.31`, `−0.20`."""
    return NOTHING if value is None else f"{value:+.2f}".replace("-", "\N{MINUS SIGN}")


def interval(value: Mapping[str, float | None], name: str = "") -> str:
    """Its bounds: `−0.11 … +0.45`.

    Args:
        value: Holds `low` and `high`, or `tau_low` and `tau_high`.
        name: Such as `tau_`.
    """
    if value[f"{name}low"] is None:
        return NOTHING
    return f"{signed(value[f'{name}low'])} … {signed(value[f'{name}high'])}"


def _cells(results: Mapping[str, Any]) -> list[list[str]]:
    """The table's rows; the first is what a blind choice would be."""
    rows = [["(blind)", "", "0", "", "0", *map(_loss, results["random_regret"]), "0"]]
    for row in ordered(results["agreement"]):
        rows.append(
            [
                row["ranking"],
                "" if row["warmup"] is None else f"{row['warmup']:g}",
                signed(row["tau"]),
                interval(row, "tau_"),
                signed(row["rho"]),
                *(_loss(row[f"regret_{top}"]) for top in TOP),
                f"{row['seconds']:.3g}",
            ]
        )
    return rows


def _flatten(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        pairs = [(str(key), inner) for key, inner in value.items()]
    elif isinstance(value, list | tuple):
        pairs = [(str(place), inner) for place, inner in enumerate(value)]
    else:
        yield prefix, value
        return
    for key, inner in pairs:
        yield from _flatten(inner, f"{prefix}.{key}" if prefix else key)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _loss(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.4f}"
