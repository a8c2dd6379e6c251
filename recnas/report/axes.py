"""Axes that a few extreme values cannot spoil: readable ticks of a logarithmic one, and bounds around the others."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

import plotly.graph_objects as go

from recnas.report.style import MUTED

_LOG_SCALE_FROM = 4.0
"""From this ratio of the largest to the smallest value on, an axis is logarithmic."""
_STEPS = ((10.0, (1, 2, 3, 5, 7)), (300.0, (1, 2, 5)), (math.inf, (1,)))
"""Up to which ratio of the largest to the smallest value which multiples of powers of ten have a tick."""
_MOST_DECADES = 8
"""Ticks of an axis that has powers of ten alone."""
_FAR = 12.0
"""How many median deviations from the median a value may be: of normal values, eight standard deviations."""
_SQUEEZED = ((30, 2.0), (4, 10.0))
"""Of how many values on, from which ratio of the whole range to that without what is far away, the far ones are put at
the edge: where a few values lie is much by chance."""


def plain(value: float) -> str:
    """A number as the text of a tick: 0.002, 50 or 1e-05."""
    return f"{value:g}"


def scale(values: Sequence[float], text: Callable[[float], str] = plain) -> dict[str, object]:
    """A logarithmic axis where the values spread too far for a linear one to show the small ones, else no change."""
    if values and min(values) > 0 and max(values) / min(values) > _LOG_SCALE_FROM:
        return log_scale(values, text)
    return {}


def log_scale(values: Sequence[float], text: Callable[[float], str] = plain) -> dict[str, object]:
    """A logarithmic axis whose ticks are whole numbers, not the leading digits that Plotly writes between decades.

    Args:
        values: The values to be shown, above 0.
        text: Turns a tick's value into text.
    """
    low, high = min(values) / 1.2, max(values) * 1.2
    digits = next(digits for ratio, digits in _STEPS if high / low <= ratio)
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    if digits == (1,):
        decades = decades[:: math.ceil(len(decades) / _MOST_DECADES)]
    ticks = [float(f"{digit}e{decade}") for decade in decades for digit in digits]
    ticks = [tick for tick in ticks if low <= tick <= high]
    return {"type": "log", "tickvals": ticks, "ticktext": [text(tick) for tick in ticks]}


@dataclass(frozen=True)
class Bounds:
    """What an axis shows; a value beyond is put at its edge.

    Attributes:
        low: The lowest value that keeps its place.
        high: The highest one.
        outside: The number of values that lie beyond.
    """

    low: float
    high: float
    outside: int

    def place(self, value: float) -> float:
        """The place at which a value is drawn."""
        return min(max(value, self.low), self.high)

    def symbol(self, value: float, inside: str, beyond: tuple[str, str] = ("triangle-down", "triangle-up")) -> str:
        """The symbol of a value: a triangle where it lies beyond the lower or the upper edge."""
        below, above = beyond
        return below if value < self.low else above if value > self.high else inside

    @property
    def axis(self) -> dict[str, object]:
        """The axis's range, if values lie beyond; with room for what is at the edges."""
        room = 0.04 * (self.high - self.low)
        return {"range": [self.low - room, self.high + room]} if self.outside else {}


def all_of(values: Sequence[float]) -> Bounds:
    """All values, however far they lie apart."""
    return Bounds(min(values), max(values), 0)


def bounds(values: Sequence[float]) -> Bounds:
    """All values, or where few of them would squeeze all others into a part of the axis, the others."""
    if not values:
        return Bounds(0.0, 0.0, 0)
    everything = all_of(values)
    middle = median(values)
    # Where most are equal, the others alone tell how far apart values lie.
    reach = _FAR * median([distance for value in values if (distance := abs(value - middle)) > 0] or [0.0])
    near = [value for value in values if abs(value - middle) <= reach]
    low, high = min(near), max(near)
    squeezed = next((ratio for count, ratio in _SQUEEZED if len(values) >= count), math.inf)
    if len(near) == len(values) or everything.high - everything.low < squeezed * (high - low):
        return everything
    return Bounds(low, high, len(values) - len(near))


def note_outside(figure: go.Figure, count: int, where: str = ", as triangles at its edge") -> None:
    """Says below a figure how many points lie beyond the range that it shows, and where they are to be seen."""
    if count:
        points = "1 point lies" if count == 1 else f"{count:,} points lie"
        figure.add_annotation(
            text=f"{points} beyond the range shown{where}",
            x=1,
            xref="paper",
            xanchor="right",
            y=0,
            yref="paper",
            yanchor="top",
            yshift=-58,
            showarrow=False,
            font={"size": 12, "color": MUTED},
        )
        figure.update_layout(margin={"b": 82})
