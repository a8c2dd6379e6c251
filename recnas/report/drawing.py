"""The drawing of an architecture, as a wiring plan.

Blocks are rows, from the stem at the top to the logit at the bottom. To the left of them every dense output has a
vertical wire of its own, to the right every sparse output; a block's row crosses the wires and a dot marks each wire
it reads. The stem's wire is the outermost, so an output never crosses another on its way to its wire. Inside a block,
data flows from the operator down to the output, with the two mergers crossing between the dense and the sparse side.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import plotly.graph_objects as go

from recnas.report.style import DEAD, DEAD_TEXT, DEAD_TINT, DENSE_TINT, FONT, INK, MUTED, PAPER, RULE, SPARSE_TINT
from recnas.report.style import DENSE as DENSE_COLOR
from recnas.report.style import SPARSE as SPARSE_COLOR
from recnas.report.wiring import DENSE, INPUT, LEFT, RIGHT, SPARSE, Connection, connections, takes_products
from recnas.space import Architecture, Block, Live
from recnas.space.architecture import ATTENTION, DOT_PRODUCT, EFC, FC, GATING, MERGED_FIELDS, SUM

OPERATOR_NAMES = {
    FC: "FC",
    DOT_PRODUCT: "Dot-Product",
    GATING: "Gating",
    SUM: "Sum",
    EFC: "EFC",
    ATTENTION: "Attention",
}
_EXPLANATIONS = {
    FC: "fully connected: inputs side by side → linear → layer norm → ReLU",
    DOT_PRODUCT: "products of all pairs of the reduced dense and sparse inputs → linear → layer norm",
    GATING: "sigmoid of a linear of left, times right → linear → layer norm",
    SUM: "left + right → linear → layer norm",
    EFC: "embedding FC: linear over the fields → layer norm → ReLU",
    ATTENTION: "linear over the fields, then self-attention among them",
}
_COLOR = {DENSE: DENSE_COLOR, SPARSE: SPARSE_COLOR}
_TINT = {DENSE: DENSE_TINT, SPARSE: SPARSE_TINT}
_LETTER = {DENSE: "D", SPARSE: "S"}

# Pixels. x grows to the right, y downwards.
_LANE, _GAP, _MARGIN = 27, 92, 26
_CARD_WIDTH, _BOX_WIDTH, _BOX_HEIGHT, _BOX_INSET = 540, 152, 42, 52
_CARD_HEIGHT, _PITCH, _END_HEIGHT = 126, 142, 62
_OPERATOR, _OUTPUT, _CROSSING = 54, 104, 17
"""Inside a card, from its top: the middle of the operators, the outputs, and Dot-Product's reading of sparse inputs."""
_OPERAND = 11
"""Left comes in this much above the operator's middle, right as much below."""
_RADIUS, _JOINT = 8, 9

Point = tuple[float, float]


def draw_architecture(arch: Architecture) -> go.Figure:
    """Draws an architecture with everything it holds; parts that do not reach the logit are grey.

    Args:
        arch: Any architecture. Its full genotype shows its dead parts; in canonical form there are none.

    Returns:
        A figure of fixed size. Traces carry `meta`: `name` says what they show, `live` whether it reaches the logit, and
        `blocks` which rows it belongs to, for highlighting (traces whose `meta.overlay` is true are to be faded in).
    """
    return _Drawing(arch).figure()


def output_name(kind: str, index: int) -> str:
    """D3 or S3."""
    return f"{_LETTER[kind]}{index}"


def operator_names(operators: Sequence[str]) -> str:
    return " + ".join(OPERATOR_NAMES[name] for name in operators)


@dataclass
class _Drawing:
    """Collects shapes, traces and texts while it goes over the architecture once."""

    arch: Architecture
    shapes: list[dict] = field(default_factory=list)
    traces: list[go.Scatter] = field(default_factory=list)
    top: list[go.Scatter] = field(default_factory=list)
    texts: list[dict] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.count = len(self.arch.blocks)
        self.live = self.arch.live()
        self.connections = connections(self.arch)
        lanes = self.count * _LANE
        self.left = _MARGIN + lanes + _GAP
        self.right = self.left + _CARD_WIDTH
        self.width = self.right + _GAP + lanes + _MARGIN
        self.height = self._row(self.count + 1) + _END_HEIGHT + 8
        self.box = {DENSE: self.left + _BOX_INSET, SPARSE: self.right - _BOX_INSET - _BOX_WIDTH}
        self.middle = {kind: x + _BOX_WIDTH / 2 for kind, x in self.box.items()}
        self.edge = {DENSE: self.box[DENSE], SPARSE: self.box[SPARSE] + _BOX_WIDTH}
        """Where inputs enter an operator from outside."""
        self.inner = {DENSE: self.box[DENSE] + _BOX_WIDTH, SPARSE: self.box[SPARSE]}

    def figure(self) -> go.Figure:
        self._wires()
        self._taps()
        self._stem()
        for index, (block, live) in enumerate(zip(self.arch.blocks, self.live, strict=True), start=1):
            self._block(index, block, live)
        self._logit()
        self._overlays()
        hidden = {"visible": False, "fixedrange": True}
        return go.Figure(
            data=self.traces + self.top,
            layout=go.Layout(
                template="none",
                width=self.width,
                height=self.height,
                margin={"l": 0, "r": 0, "t": 0, "b": 0},
                xaxis={**hidden, "range": [0, self.width]},
                yaxis={**hidden, "range": [self.height, 0]},
                shapes=self.shapes,
                annotations=self.texts,
                font={"family": FONT, "size": 12, "color": INK},
                paper_bgcolor=PAPER,
                plot_bgcolor=PAPER,
                showlegend=False,
                hovermode="closest",
                hoverdistance=12,
                dragmode=False,
                hoverlabel={
                    "bgcolor": PAPER,
                    "bordercolor": DEAD,
                    "align": "left",
                    "font": {"family": FONT, "size": 12.5, "color": INK},
                },
            ),
        )

    # Where things are

    def _row(self, index: int) -> float:
        """Top of a row: 0 the stem, then the blocks, then the logit."""
        return 4 + (0 if index == 0 else _END_HEIGHT + 16 + (index - 1) * _PITCH)

    def _lane(self, kind: str, source: int) -> float:
        inner = (self.count - source) * _LANE
        if kind == DENSE:
            return self.left - _GAP - inner
        return self.right + _GAP + inner

    def _exit(self, source: int) -> float:
        """Height at which an output leaves its row."""
        return self._row(source) + (_END_HEIGHT / 2 if source == 0 else _OUTPUT)

    def _entry(self, reader: int, role: str) -> float:
        """Height at which a row is entered."""
        if reader == self.count + 1:
            return self._row(reader) + _END_HEIGHT / 2
        return self._row(reader) + _OPERATOR + {INPUT: 0, LEFT: -_OPERAND, RIGHT: _OPERAND}[role]

    def _start(self, kind: str, source: int) -> list[Point]:
        """How an output's line begins inside its row: beside the stem's box, or below the operator."""
        y = self._exit(source)
        if source == 0:
            return [(self.edge[kind], y)]
        x = self.middle[kind]
        return [(x, self._row(source) + _OPERATOR + _BOX_HEIGHT / 2), (x, y)]

    def _outside(self, kind: str) -> float:
        return self.left if kind == DENSE else self.right

    # Wires and taps

    def _wires(self) -> None:
        """Each output's line to its wire and down the wire to its last reader; grey first, so that live lies on top."""
        for live in (False, True):
            for kind in (DENSE, SPARSE):
                for source in range(self.count + 1):
                    self._wire(kind, source, live)
        for kind in (DENSE, SPARSE):
            for source in range(self.count + 1):
                self._output_label(kind, source)

    def _readers(self, kind: str, source: int) -> list[Connection]:
        return [link for link in self.connections if (link.kind, link.source) == (kind, source)]

    def _wire(self, kind: str, source: int, live: bool) -> None:
        readers = [link for link in self._readers(kind, source) if link.live == live]
        if not readers:
            return
        end = max(self._entry(link.reader, link.role) for link in readers)
        x, y = self._lane(kind, source), self._exit(source)
        path = _rounded([*self._start(kind, source), (x, y), (x, end)])
        self._line(path, kind, live, name=f"wire {output_name(kind, source)}", blocks=[source])

    def _output_label(self, kind: str, source: int) -> None:
        made, live, text = self._output(kind, source)
        if not made:
            return
        y, outside = self._exit(source), self._outside(kind)
        sign = -1 if kind == DENSE else 1
        if not self._readers(kind, source):
            path = _rounded([*self._start(kind, source), (outside + sign * 10, y)])
            self._line(path, kind, False, name=f"wire {output_name(kind, source)}", blocks=[source])
            text = f"{text}<br><i>not read</i>"
            self._text(outside + sign * 15, y, text, DEAD_TEXT, 11, "right" if kind == DENSE else "left")
            return
        color = _COLOR[kind] if live else DEAD_TEXT
        self._text(outside + sign * 7, y - 9, text, color, 11.5, "right" if kind == DENSE else "left")

    def _output(self, kind: str, source: int) -> tuple[bool, bool, str]:
        """Whether there is such an output, whether it is live, and its name with its width."""
        name = f"<b>{output_name(kind, source)}</b>"
        if source == 0:
            return True, any(link.live for link in self._readers(kind, 0)), name
        block, live = self.arch.blocks[source - 1], self.live[source - 1]
        if kind == DENSE:
            return bool(block.dense_operators), live.dense_output, f"{name} · {block.dense_width}"
        merged = f" + {MERGED_FIELDS}" if block.dense_to_sparse else ""
        return bool(block.sparse_operators), live.sparse_output, f"{name} · {block.sparse_width}{merged}"

    def _taps(self) -> None:
        """The line of each reader across the wires, with a dot on every wire it reads."""
        taps: dict[tuple[int, str, str], list[Connection]] = {}
        for link in self.connections:
            taps.setdefault((link.reader, link.kind, link.role), []).append(link)
        for live in (False, True):
            for (reader, kind, role), links in taps.items():
                if links[0].live == live:
                    self._tap(reader, kind, role, links)

    def _tap(self, reader: int, kind: str, role: str, links: list[Connection]) -> None:
        live, y = links[0].live, self._entry(reader, role)
        sign = -1 if kind == DENSE else 1
        far = max((self._lane(kind, link.source) for link in links), key=lambda x: abs(x - self._outside(kind)))
        name = f"{kind} {role} of {reader}"
        self._line([(far, y), (self._outside(kind), y)], kind, live, name=name, blocks=[reader])
        self._legs(reader, kind, y, live)
        if role != INPUT:
            color = _COLOR[kind] if live else DEAD_TEXT
            self._text(self._outside(kind) - 7, y - 7, role, color, 10.5, "right", italic=True)
        for link in links:
            x = self._lane(kind, link.source)
            self._dot(x, y, link)
            color = _COLOR[kind] if live else DEAD_TEXT
            self._text(x - sign * 4, y - 7, output_name(kind, link.source), color, 10, _align(-sign))

    def _legs(self, reader: int, kind: str, y: float, live: bool) -> None:
        """The lines inside a row from its edge to the operators that read the inputs."""
        outside, edge = self._outside(kind), self.edge[kind]
        name = f"{kind} inputs of {reader}"
        if reader == self.count + 1:
            self._line([(outside, y), (edge, y)], kind, True, name=name, blocks=[reader], arrow=True)
            return
        block, alive = self.arch.blocks[reader - 1], self.live[reader - 1]
        if kind == DENSE:
            self._line([(outside, y), (edge, y)], kind, live, name=name, blocks=[reader], arrow=True)
            return
        split = (outside + edge) / 2
        legs: list[tuple[list[Point], bool, str]] = []
        if block.sparse_operators:
            legs.append(([(outside, y), (edge, y)], alive.sparse_operators, name))
        if takes_products(block):
            top, inner = self._row(reader) + _CROSSING, self.inner[DENSE]
            turn = inner + 30
            path = [(outside, y), (split, y), (split, top), (turn, top), (turn, y - 10), (inner, y - 10)]
            legs.append((_rounded(path), alive.dense_operators, f"products' {name}"))
        for path, leg_live, leg_name in sorted(legs, key=lambda leg: leg[1]):
            self._line(path, kind, leg_live, name=leg_name, blocks=[reader], arrow=True)

    def _dot(self, x: float, y: float, link: Connection) -> None:
        reader = "The logit" if link.reader == self.count + 1 else f"Block {link.reader}"
        source = "the stem" if link.source == 0 else f"block {link.source}"
        side = f" as {link.role}" if link.role != INPUT else ""
        what = "dense" if link.kind == DENSE else "sparse"
        text = f"{reader} reads <b>{output_name(link.kind, link.source)}</b>{side}, the {what} output of {source}"
        if not link.live:
            text += "<br><i>does not reach the logit</i>"
        self.top.append(
            go.Scatter(
                x=[x],
                y=[y],
                mode="markers",
                marker={"size": 9, "color": _COLOR[link.kind] if link.live else DEAD, "line": {"width": 0}},
                hovertemplate=f"{text}<extra></extra>",
                meta=_meta(f"dot {link}", link.live, [link.source, link.reader], link=_link_key(link)),
            )
        )

    # Rows

    def _stem(self) -> None:
        y = self._row(0)
        self._card(y, _END_HEIGHT, "Stem", live=True, blocks=[0], center=True)
        for kind, title, detail, hover in (
            (DENSE, "Dense features", "counts, ages, …", "The dense features as they are"),
            (SPARSE, "Sparse features", "one embedding each", "The sparse features, one embedding each"),
        ):
            live = any(link.live for link in self._readers(kind, 0))
            self._operator(kind, y + _END_HEIGHT / 2, title, detail, live, hover, 0)

    def _logit(self) -> None:
        y, index = self._row(self.count + 1), self.count + 1
        self._card(y, _END_HEIGHT, "", live=True, blocks=[index])
        top, left, right = y + (_END_HEIGHT - _BOX_HEIGHT) / 2, self.box[DENSE], self.edge[SPARSE]
        self._panel(left, top, right, top + _BOX_HEIGHT, INK, PAPER)
        self._text(
            (left + right) / 2,
            y + _END_HEIGHT / 2,
            "<b>Logit</b> = linear(dense, all fields) → click probability",
            INK,
            13,
            "center",
        )
        self._hover_area(
            left, top, right, top + _BOX_HEIGHT, "One linear layer over the last block's outputs", "logit", True, [index]
        )

    def _block(self, index: int, block: Block, live: Live) -> None:
        y = self._row(index)
        alive = live.dense_operators or live.sparse_operators
        self._card(y, _CARD_HEIGHT, f"Block {index}", alive, [index])
        for kind, operators, width, unit, operator_live in (
            (DENSE, block.dense_operators, block.dense_width, "wide", live.dense_operators),
            (SPARSE, block.sparse_operators, block.sparse_width, "fields", live.sparse_operators),
        ):
            if not operators:
                x = self.middle[kind]
                self._text(x, y + _OPERATOR, f"<i>no {kind} output</i>", DEAD_TEXT, 12, "center")
                continue
            explained = "<br>".join(f"<b>{OPERATOR_NAMES[name]}</b> – {_EXPLANATIONS[name]}" for name in operators)
            hover = f"Block {index}, {kind}: {explained}<br>{width} {unit}"
            if not operator_live:
                hover += "<br><i>does not reach the logit</i>"
            names = operator_names(operators)
            self._operator(kind, y + _OPERATOR, names, f"{width} {unit}", operator_live, hover, index)
        self._mergers(index, block, live)

    def _mergers(self, index: int, block: Block, live: Live) -> None:
        for on, merger_live, source, target, sign, label, name, hover in (
            (
                block.dense_to_sparse,
                live.dense_to_sparse,
                DENSE,
                SPARSE,
                "‖",
                f"+ {MERGED_FIELDS} fields",
                "dense→sparse",
                f"Dense→sparse merger: the dense operator's output, made into {MERGED_FIELDS} fields, is appended",
            ),
            (
                block.fm,
                live.fm,
                SPARSE,
                DENSE,
                "+",
                "FM",
                "FM",
                "FM merger: products of all pairs of the sparse operator's fields, summed, are added",
            ),
        ):
            if not on:
                continue
            y = self._row(index)
            joint, level = self.middle[target], y + _OUTPUT
            side = 1 if target == SPARSE else -1
            start, end = self.inner[source], self.inner[target] - side * 6
            path = _swing((start, y + _OPERATOR + 10), (end, level))
            path.append((joint - side * (_JOINT + 1), level))
            self._line(path, source, merger_live, name=f"{name} of {index}", blocks=[index], arrow=True)
            color = _COLOR[source] if merger_live else DEAD
            self._pill(self.inner[target] + side * 30, level, label, color, merger_live)
            self._joint(joint, level, sign, _COLOR[target] if merger_live else DEAD)
            text = f"Block {index}. {hover}" + ("" if merger_live else "<br><i>does not reach the logit</i>")
            left, right = sorted((self.inner[target] - side * 4, joint + side * _JOINT))
            self._hover_area(left, level - 12, right, level + 12, text, f"{name} of {index}", merger_live, [index])

    # Marks

    def _line(
        self, path: Sequence[Point], kind: str, live: bool, *, name: str, blocks: list[int], arrow: bool = False
    ) -> None:
        color = _COLOR[kind] if live else DEAD
        xs, ys = zip(*path, strict=True)
        style = {"color": color, "width": 2.2 if live else 1.6}
        meta = _meta(name, live, blocks)
        self.traces.append(go.Scatter(x=xs, y=ys, mode="lines", line=style, hoverinfo="skip", meta=meta))
        if arrow:
            self._arrow_head(path[-2], path[-1], color)

    def _arrow_head(self, before: Point, tip: Point, color: str) -> None:
        sign = 1 if tip[0] > before[0] else -1
        x, y = tip
        self.shapes.append(
            {
                "type": "path",
                "path": f"M{x},{y} L{x - sign * 8},{y - 4.5} L{x - sign * 8},{y + 4.5} Z",
                "fillcolor": color,
                "line": {"width": 0},
            }
        )

    def _card(
        self, y: float, height: float, title: str, live: bool, blocks: list[int], center: bool = False
    ) -> None:
        self._panel(self.left, y, self.right, y + height, RULE, PAPER if live else DEAD_TINT, below=True)
        color = INK if live else DEAD_TEXT
        text = f"<b>{title}</b>" if live else f"<b>{title}</b>  <i>does not reach the logit</i>"
        if center:
            self._text((self.left + self.right) / 2, y + height / 2, text, color, 13, "center")
        elif title:
            self._text(self.left + 14, y + 17, text, color, 13, "left")

    def _operator(
        self, kind: str, middle: float, title: str, detail: str, live: bool, hover: str, index: int
    ) -> None:
        left, top = self.box[kind], middle - _BOX_HEIGHT / 2
        right, bottom = left + _BOX_WIDTH, middle + _BOX_HEIGHT / 2
        self._panel(left, top, right, bottom, _COLOR[kind] if live else DEAD, _TINT[kind] if live else DEAD_TINT)
        size = 13 if len(title) < 18 else 9.5
        self._text(self.middle[kind], middle - 9, f"<b>{title}</b>", INK if live else DEAD_TEXT, size, "center")
        self._text(self.middle[kind], middle + 9, detail, MUTED if live else DEAD_TEXT, 11.5, "center")
        self._hover_area(left, top, right, bottom, hover, f"{kind} operator of {index}", live, [index])

    def _panel(
        self, left: float, top: float, right: float, bottom: float, edge: str, fill: str, below: bool = False
    ) -> None:
        r = 7
        path = (
            f"M{left + r},{top} L{right - r},{top} Q{right},{top} {right},{top + r} "
            f"L{right},{bottom - r} Q{right},{bottom} {right - r},{bottom} "
            f"L{left + r},{bottom} Q{left},{bottom} {left},{bottom - r} "
            f"L{left},{top + r} Q{left},{top} {left + r},{top} Z"
        )
        layer = "below" if below else "above"
        self.shapes.append(
            {"type": "path", "path": path, "line": {"color": edge, "width": 1.3}, "fillcolor": fill, "layer": layer}
        )

    def _hover_area(
        self, left: float, top: float, right: float, bottom: float, text: str, name: str, live: bool, blocks: list[int]
    ) -> None:
        self.top.append(
            go.Scatter(
                x=[left, right, right, left, left],
                y=[top, top, bottom, bottom, top],
                mode="lines",
                line={"width": 0},
                fill="toself",
                fillcolor="rgba(0,0,0,0)",
                hoveron="fills",
                hoverinfo="text",
                text=text,
                meta=_meta(name, live, blocks),
            )
        )

    def _joint(self, x: float, y: float, sign: str, color: str) -> None:
        self.shapes.append(
            {
                "type": "circle",
                "x0": x - _JOINT,
                "x1": x + _JOINT,
                "y0": y - _JOINT,
                "y1": y + _JOINT,
                "fillcolor": PAPER,
                "line": {"color": color, "width": 1.6},
            }
        )
        self._text(x, y, f"<b>{sign}</b>", color, 12, "center")

    def _pill(self, x: float, y: float, label: str, color: str, live: bool) -> None:
        self._text(x, y, label, color if live else DEAD_TEXT, 10.5, "center", bgcolor=PAPER)

    def _text(
        self, x: float, y: float, text: str, color: str, size: float, align: str, italic: bool = False, **more: object
    ) -> None:
        self.texts.append(
            {
                "x": x,
                "y": y,
                "text": f"<i>{text}</i>" if italic else text,
                "showarrow": False,
                "xanchor": align,
                "yanchor": "middle",
                "align": align,
                "font": {"size": size, "color": color},
                "borderpad": 1,
                **more,
            }
        )

    def _overlays(self) -> None:
        """Each connection from its source to its reader as one line, unseen until the reader's pointer asks for it."""
        for link in self.connections:
            x, leave, enter = self._lane(link.kind, link.source), self._exit(link.source), self._entry(link.reader, link.role)
            corners = [(x, leave), (x, enter), (self.edge[link.kind], enter)]
            path = _rounded([*self._start(link.kind, link.source), *corners])
            xs, ys = zip(*path, strict=True)
            color = _COLOR[link.kind] if link.live else DEAD_TEXT
            self.traces.append(
                go.Scatter(
                    x=xs,
                    y=ys,
                    mode="lines",
                    line={"color": color, "width": 3.6},
                    opacity=0,
                    hoverinfo="skip",
                    meta=_meta(
                        f"overlay {link}", link.live, [link.source, link.reader], link=_link_key(link), overlay=True
                    ),
                )
            )


def _meta(name: str, live: bool, blocks: list[int], link: str | None = None, overlay: bool = False) -> dict:
    return {"name": name, "live": live, "blocks": blocks, "link": link, "overlay": overlay}


def _link_key(link: Connection) -> str:
    return f"{link.kind}-{link.source}-{link.reader}-{link.role}"


def _align(direction: int) -> str:
    return "left" if direction > 0 else "right"


def _rounded(points: Sequence[Point]) -> list[Point]:
    """The polyline with its right-angled corners rounded."""
    path = [points[0]]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        start, end = _towards(corner, before), _towards(corner, after)
        path += [_quadratic(start, corner, end, step / 6) for step in range(7)]
    return [*path, points[-1]]


def _towards(corner: Point, other: Point) -> Point:
    dx, dy = other[0] - corner[0], other[1] - corner[1]
    length = abs(dx) + abs(dy)
    part = min(_RADIUS, length / 2) / length if length else 0
    return corner[0] + dx * part, corner[1] + dy * part


def _quadratic(start: Point, control: Point, end: Point, t: float) -> Point:
    return tuple((1 - t) ** 2 * a + 2 * t * (1 - t) * b + t**2 * c for a, b, c in zip(start, control, end, strict=True))


def _swing(start: Point, end: Point) -> list[Point]:
    """A smooth S from one height to another."""
    (x0, y0), (x1, y1) = start, end
    middle = (x0 + x1) / 2
    return list(_cubic((x0, y0), (middle, y0), (middle, y1), (x1, y1), steps=24))


def _cubic(a: Point, b: Point, c: Point, d: Point, steps: int) -> Iterator[Point]:
    for step in range(steps + 1):
        t = step / steps
        weights = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3)
        yield tuple(sum(w * p[axis] for w, p in zip(weights, (a, b, c, d), strict=True)) for axis in (0, 1))
