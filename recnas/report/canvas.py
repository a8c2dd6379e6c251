"""Marks on a page measured in pixels: lines, panels, dots and texts, gathered into one Plotly figure.

x grows to the right, y downwards. Every trace carries what it shows as `meta`, for highlighting and for tests.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import NamedTuple

import plotly.graph_objects as go

from recnas.report.style import DEAD, FONT, INK, PAPER

Point = tuple[float, float]

_CORNER = 8
_CURVE_STEPS = 24


class Rect(NamedTuple):
    """A box by its edges."""

    left: float
    top: float
    right: float
    bottom: float

    @classmethod
    def around(cls, x: float, y: float, width: float, height: float) -> Rect:
        return cls(x - width / 2, y - height / 2, x + width / 2, y + height / 2)

    @property
    def center(self) -> Point:
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2


@dataclass(frozen=True)
class Meta:
    """What a trace shows.

    Attributes:
        name: The part's name, unique together with `live`.
        live: Whether it can change the logit.
        rows: The rows of the drawing that it belongs to.
        link: The one connection it shows, if it shows just one.
        overlay: Whether it is unseen until it is asked for.
    """

    name: str
    live: bool
    rows: tuple[int, ...]
    link: str | None = None
    overlay: bool = False


@dataclass
class Canvas:
    """Collects marks; later marks lie on top of earlier ones of the same sort, texts on top of all."""

    shapes: list[dict] = field(default_factory=list)
    lines: list[go.Scatter] = field(default_factory=list)
    targets: list[go.Scatter] = field(default_factory=list)
    texts: list[dict] = field(default_factory=list)

    def line(self, path: Sequence[Point], color: str, width: float, meta: Meta, arrow: bool = False) -> None:
        """A line along the path, with a head at its end if it is an arrow (which has to end level or straight down)."""
        x, y = zip(*path, strict=True)
        self.lines.append(
            go.Scatter(
                x=x,
                y=y,
                mode="lines",
                line={"color": color, "width": width, "simplify": False},
                opacity=0 if meta.overlay else 1,
                hoverinfo="skip",
                meta=asdict(meta),
            )
        )
        if arrow:
            self._arrow_head(path[-2], path[-1], color)

    def _arrow_head(self, before: Point, tip: Point, color: str) -> None:
        x, y = tip
        if tip[0] == before[0]:
            path = f"M{x},{y} L{x - 4.5},{y - 8} L{x + 4.5},{y - 8} Z"
        else:
            back = -8 if tip[0] > before[0] else 8
            path = f"M{x},{y} L{x + back},{y - 4.5} L{x + back},{y + 4.5} Z"
        self.shapes.append({"type": "path", "path": path, "fillcolor": color, "line": {"width": 0}})

    def panel(self, box: Rect, edge: str, fill: str, below: bool = False) -> None:
        """A filled box with round corners, on top of the lines or below them."""
        left, top, right, bottom = box
        r = _CORNER
        path = (
            f"M{left + r},{top} L{right - r},{top} Q{right},{top} {right},{top + r} "
            f"L{right},{bottom - r} Q{right},{bottom} {right - r},{bottom} "
            f"L{left + r},{bottom} Q{left},{bottom} {left},{bottom - r} "
            f"L{left},{top + r} Q{left},{top} {left + r},{top} Z"
        )
        layer = "below" if below else "above"
        line = {"color": edge, "width": 1.3}
        self.shapes.append({"type": "path", "path": path, "line": line, "fillcolor": fill, "layer": layer})

    def joint(self, at: Point, sign: str, radius: float, color: str) -> None:
        """A small circle with a sign in it."""
        left, top, right, bottom = Rect.around(*at, 2 * radius, 2 * radius)
        line = {"color": color, "width": 1.6}
        circle = {"type": "circle", "x0": left, "x1": right, "y0": top, "y1": bottom}
        self.shapes.append({**circle, "fillcolor": PAPER, "line": line})
        self.text(at, f"<b>{sign}</b>", color, 12)

    def dot(self, at: Point, color: str, hover: str, meta: Meta) -> None:
        """A dot that says `hover` when pointed at."""
        self.targets.append(
            go.Scatter(
                x=[at[0]],
                y=[at[1]],
                mode="markers",
                marker={"size": 9, "color": color, "line": {"width": 0}},
                hovertemplate=f"{hover}<extra></extra>",
                meta=asdict(meta),
            )
        )

    def area(self, box: Rect, hover: str, meta: Meta) -> None:
        """An unseen area that says `hover` when pointed at."""
        left, top, right, bottom = box
        self.targets.append(
            go.Scatter(
                x=[left, right, right, left, left],
                y=[top, top, bottom, bottom, top],
                mode="lines",
                line={"width": 0},
                fill="toself",
                fillcolor="rgba(0,0,0,0)",
                hoveron="fills",
                hoverinfo="text",
                text=hover,
                meta=asdict(meta),
            )
        )

    def text(
        self, at: Point, text: str, color: str, size: float, align: str = "center", background: str | None = None
    ) -> None:
        """A text in the middle of the height `at`, to the left, in the middle or to the right of it."""
        self.texts.append(
            {
                "x": at[0],
                "y": at[1],
                "text": text,
                "showarrow": False,
                "xanchor": align,
                "yanchor": "middle",
                "align": align,
                "font": {"size": size, "color": color},
                "borderpad": 1,
                "bgcolor": background,
            }
        )

    def figure(self, width: float, height: float) -> go.Figure:
        """All marks as a figure of this size."""
        hidden = {"visible": False, "fixedrange": True}
        font = {"family": FONT, "size": 12.5, "color": INK}
        layout = go.Layout(
            template="none",
            width=width,
            height=height,
            margin={"l": 0, "r": 0, "t": 0, "b": 0},
            xaxis={**hidden, "range": [0, width]},
            yaxis={**hidden, "range": [height, 0]},
            shapes=self.shapes,
            annotations=self.texts,
            font=font,
            paper_bgcolor=PAPER,
            plot_bgcolor=PAPER,
            showlegend=False,
            hovermode="closest",
            hoverdistance=12,
            dragmode=False,
            hoverlabel={"bgcolor": PAPER, "bordercolor": DEAD, "align": "left", "font": font},
        )
        return go.Figure(data=self.lines + self.targets, layout=layout)


def rounded(points: Sequence[Point]) -> list[Point]:
    """The polyline with its right-angled corners rounded."""
    path = [points[0]]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        start, end = _towards(corner, before), _towards(corner, after)
        path += _bezier([start, corner, corner, end], steps=6)
    return [*path, points[-1]]


def swing(start: Point, end: Point) -> list[Point]:
    """A smooth S from one height to another, horizontal at both ends."""
    middle = (start[0] + end[0]) / 2
    return _bezier([start, (middle, start[1]), (middle, end[1]), end], steps=_CURVE_STEPS)


def _towards(corner: Point, other: Point) -> Point:
    dx, dy = other[0] - corner[0], other[1] - corner[1]
    length = abs(dx) + abs(dy)
    part = min(_CORNER, length / 2) / length if length else 0
    return corner[0] + dx * part, corner[1] + dy * part


def _bezier(controls: Sequence[Point], steps: int) -> list[Point]:
    """Points on the cubic Bézier curve of four control points."""
    path = []
    for step in range(steps + 1):
        t = step / steps
        weights = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3)
        path.append(tuple(sum(w * p[axis] for w, p in zip(weights, controls, strict=True)) for axis in (0, 1)))
    return path
