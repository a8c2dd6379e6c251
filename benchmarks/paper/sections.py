"""What an experiment found, as a section of one page: in Markdown, as a figure of its own, and on `index.html`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import plotly.io

from recnas.report.html import figure_html, fill
from recnas.util.files import read_json, write_json, write_text

SECTION, MARKDOWN, PLOT, PAGE = "section.json", "table.md", "plot.html", "index.html"
PARTS = ("theorem2", "ablation", "table")
"""The experiments by their folders, in the page's order."""


@dataclass(frozen=True)
class Section:
    """What an experiment found.

    Attributes:
        title: A few words.
        paragraphs: What was done, in plain text.
        header: The table's columns; a name may have two lines.
        rows: Its rows, as text.
        kinds: Of each row, for its look: `baseline`, `best`, or nothing.
        figure: If there is one.
        files: What else the experiment wrote, for who wants the figures.
    """

    title: str
    paragraphs: tuple[str, ...]
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    files: tuple[str, ...]
    kinds: tuple[str, ...] = ()
    figure: go.Figure | None = None

    @property
    def markdown(self) -> str:
        """Paragraphs and table."""
        names = tuple(name.replace("\n", " ") for name in self.header)
        lines = (names, ("---",) * len(self.header), *self.rows)
        table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        return "\n\n".join((*self.paragraphs, table)) + "\n"

    def save(self, folder: Path, files: Mapping[str, str]) -> None:
        """Writes these files, `table.md`, `plot.html` if there is a figure, and last what `write_page` reads."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            write_text(folder / name, text)
        write_text(folder / MARKDOWN, self.markdown)
        if self.figure is not None:
            write_text(folder / PLOT, self.figure.to_html(config={"displayModeBar": False}))
        plain = asdict(replace(self, figure=None))
        write_json(folder / SECTION, plain | {"figure": self.figure and self.figure.to_json()})

    @classmethod
    def load(cls, folder: Path) -> Section:
        """What `save` wrote."""
        value: dict[str, Any] = read_json(folder / SECTION)
        lists = {name: tuple(value[name]) for name in ("paragraphs", "header", "files", "kinds")}
        figure = None if value["figure"] is None else plotly.io.from_json(value["figure"])
        return cls(value["title"], rows=tuple(map(tuple, value["rows"])), figure=figure, **lists)


def write_page(output: Path) -> Path:
    """Writes `index.html` of the experiments that have been made so far; gives its path."""
    made = {name: Section.load(output / name) for name in PARTS if (output / name / SECTION).exists()}
    page = fill(
        "page.html",
        Path(__file__).parent,
        title="The paper's own experiments, small",
        sections=[
            {
                "name": name,
                "section": section,
                "rows": list(zip(section.rows, section.kinds or [""] * len(section.rows), strict=True)),
                "text": _text_columns(section.rows),
                "figure": figure_html(name, section.figure),
                "files": [MARKDOWN, *section.files],
            }
            for name, section in made.items()
        ],
    )
    write_text(output / PAGE, page)
    return output / PAGE


def _text_columns(rows: Sequence[Sequence[str]]) -> list[bool]:
    """Of each column, whether it holds words rather than numbers."""
    return [any(cell[:1].isalpha() for cell in column) for column in zip(*rows, strict=True)]
