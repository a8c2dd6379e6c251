"""The drawing of an architecture, as a wiring plan.

Blocks are rows, from the stem at the top to the logit at the bottom. To the left of them every dense output has a
vertical wire of its own, to the right every sparse output; a block's row crosses the wires and a dot marks each wire
it reads. Inside a block, data flows from the operator down to the output, with the two mergers crossing between the
dense and the sparse half.
"""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from recnas.features.description import Description
from recnas.report import style
from recnas.report.canvas import Canvas, Meta, Point, Rect, rounded, swing
from recnas.report.plan import SIDE, Plan
from recnas.report.wiring import DENSE, INPUT, SPARSE, Connection, branch_rows, connections, logit_row, takes_products
from recnas.space import Architecture, Block, Live
from recnas.space.architecture import LAST, MERGED_FIELDS, UNREAD
from recnas.space.operators import BRANCHES, OPERATORS

_STEM = {
    DENSE: ("Dense features", "The dense features as they are"),
    SPARSE: ("Sparse features", "The sparse features, one embedding each"),
}
_COLOR = {DENSE: style.DENSE, SPARSE: style.SPARSE}
_TINT = {DENSE: style.DENSE_TINT, SPARSE: style.SPARSE_TINT}
_LETTER = {DENSE: "D", SPARSE: "S"}
_ALIGN = {-1: "right", 1: "left"}
_UNREAD = "does not reach the logit"
_JOINT_RADIUS = 9


def draw_architecture(arch: Architecture, data: Description | None = None) -> go.Figure:
    """Draws an architecture with everything it holds; parts that do not reach the logit are grey.

    Args:
        arch: Any architecture. Its full genotype shows its dead parts; in canonical form there are none.
        data: The features that it reads, if they are known.

    Returns:
        A figure of fixed size, whose traces carry a `canvas.Meta` each.
    """
    return _Drawing(arch, data).figure()


def output_name(kind: str, source: int) -> str:
    """The name of a block's output, such as D3 or S3."""
    return f"{_LETTER[kind]}{source}"


def operator_names(operators: Sequence[str]) -> str:
    """The operators as they are called in print."""
    return " + ".join(OPERATORS[name].title for name in operators)


class _Drawing:
    """Goes over an architecture once and marks a canvas."""

    def __init__(self, arch: Architecture, data: Description | None) -> None:
        self.arch = arch
        self.data = data
        self.live = arch.live()
        self.links = connections(arch)
        self.branches = branch_rows(arch)
        self.plan = Plan(len(arch.blocks), logit_row(arch))
        self.canvas = Canvas()

    def figure(self) -> go.Figure:
        for live in (False, True):  # what is live lies on top
            for kind in (DENSE, SPARSE):
                for source in range(len(self.arch.blocks) + 1):
                    self._wire(kind, source, live)
        for kind in (DENSE, SPARSE):
            for source in range(len(self.arch.blocks) + 1):
                self._output_label(kind, source)
        self._taps()
        self._stem()
        for row, (block, live) in enumerate(zip(self.arch.blocks, self.live, strict=True), start=1):
            self._block(row, block, live)
        for row, name in self.branches.items():
            self._branch(row, name)
        self._logit()
        for link in sorted(self.links, key=lambda link: link.live):
            self._overlay(link)
        return self.canvas.figure(self.plan.width, self.plan.height)

    # Connections

    def _readers(self, kind: str, source: int) -> list[Connection]:
        return [link for link in self.links if (link.kind, link.source) == (kind, source)]

    def _wire(self, kind: str, source: int, live: bool) -> None:
        """An output's line to its wire and down the wire to the last live reader, or to a dead one further down."""
        ends = {
            of_live: [self.plan.entry_height(link) for link in self._readers(kind, source) if link.live is of_live]
            for of_live in (False, True)
        }
        end = max(ends[live], default=0)
        if end > (0 if live else max(ends[True], default=0)):
            x, y = self.plan.lane(kind, source), self.plan.output_height(source)
            self._output_line(kind, source, [(x, y), (x, end)], live)

    def _output_line(self, kind: str, source: int, onwards: list[Point], live: bool) -> None:
        path = rounded([*self.plan.way_out(kind, source), *onwards])
        self._line(path, kind, Meta(f"output {output_name(kind, source)}", live, (source,)))

    def _output_label(self, kind: str, source: int) -> None:
        """An output's name and width where it leaves its row; a short end where nothing reads it."""
        label, live = f"<b>{output_name(kind, source)}</b>", any(link.live for link in self._readers(kind, source))
        if source > 0:
            block = self.arch.blocks[source - 1]
            if not (block.dense_operators if kind == DENSE else block.sparse_operators):
                return
            merged = f" + {MERGED_FIELDS}" if block.dense_to_sparse else ""
            if kind == SPARSE:
                label += f" · {block.sparse_width}{merged}"
            elif not block.sets_width:
                label += f" · {block.dense_width}"
        x, y, side = self.plan.outside[kind], self.plan.output_height(source), SIDE[kind]
        if self._readers(kind, source):
            self.canvas.text((x + side * 7, y - 9), label, self._text_color(kind, live), 11.5, _ALIGN[side])
        else:
            self._output_line(kind, source, [(x + side * 10, y)], live=False)
            self.canvas.text((x + side * 15, y), f"{label}<br><i>not read</i>", style.DEAD_TEXT, 11, _ALIGN[side])

    def _taps(self) -> None:
        """The line of each reader across the wires, with a dot on every wire it reads."""
        taps: dict[tuple[int, str, str], list[Connection]] = {}
        for link in self.links:
            taps.setdefault((link.reader, link.kind, link.role), []).append(link)
        for links in sorted(taps.values(), key=lambda links: links[0].live):
            self._tap(links)

    def _tap(self, links: list[Connection]) -> None:
        first = links[0]
        kind, live, y, side = first.kind, first.live, self.plan.entry_height(first), SIDE[first.kind]
        outside, color = self.plan.outside[kind], self._text_color(kind, live)
        far = self.plan.lane(kind, min(link.source for link in links))
        name = f"{kind} {first.role} of {first.reader}"
        self._line([(far, y), (outside, y)], kind, Meta(name, live, (first.reader,)))
        self._legs(first, y)
        if first.role != INPUT:
            self.canvas.text((outside + side * 7, y - 7), f"<i>{first.role}</i>", color, 10.5, _ALIGN[side])
        for link in links:
            x = self.plan.lane(kind, link.source)
            hover = f"{self._reader_name(link)} reads <b>{output_name(kind, link.source)}</b>, {_origin(link)}"
            meta = Meta(f"dot {_key(link)}", live, (link.source, link.reader), link=_key(link))
            self.canvas.dot((x, y), _COLOR[kind] if live else style.DEAD, _marked(hover, live), meta)
            self.canvas.text((x - side * 4, y - 7), output_name(kind, link.source), color, 10.5, _ALIGN[-side])

    def _legs(self, link: Connection, y: float) -> None:
        """The lines from a row's edge to the operators that read what comes in there."""
        kind, row = link.kind, link.reader
        straight = [(self.plan.outside[kind], y), (self.plan.edge[kind], y)]
        name = f"{kind} {link.role} into {row}"
        if kind == DENSE or row > len(self.arch.blocks):
            self._line(straight, kind, Meta(name, link.live, (row,)), arrow=True)
            return
        block, live = self.arch.blocks[row - 1], self.live[row - 1]
        legs = []
        if block.sparse_operators:
            legs.append((straight, live.sparse_operators, name))
        if takes_products(block):
            legs.append((rounded(self.plan.way_to_products(row)), live.dense_operators, f"{name} for products"))
        for path, leg_live, leg_name in sorted(legs, key=lambda leg: leg[1]):
            self._line(path, kind, Meta(leg_name, leg_live, (row,)), arrow=True)

    def _overlay(self, link: Connection) -> None:
        """A connection from its source to its reader as one line, unseen until it is asked for."""
        x, y = self.plan.lane(link.kind, link.source), self.plan.entry_height(link)
        corners = [(x, self.plan.output_height(link.source)), (x, y), (self.plan.edge[link.kind], y)]
        path = rounded([*self.plan.way_out(link.kind, link.source), *corners])
        rows = (link.source, link.reader)
        meta = Meta(f"overlay {_key(link)}", link.live, rows, link=_key(link), overlay=True)
        self.canvas.line(path, self._text_color(link.kind, link.live), 3.6, meta)

    def _reader_name(self, link: Connection) -> str:
        names = {row: f"The {_title(name)}" for row, name in self.branches.items()} | {self.plan.logit: "The logit"}
        return names.get(link.reader, f"Block {link.reader}")

    # Rows

    def _stem(self) -> None:
        card = self.plan.card(0)
        self.canvas.panel(card, style.RULE, style.PAPER, below=True)
        self.canvas.text(card.center, "<b>Stem</b>", style.INK, 13)
        for kind, (title, hover) in _STEM.items():
            live = any(link.live for link in self._readers(kind, 0))
            self._operator(0, kind, title, self._features(kind), live, hover)

    def _features(self, kind: str) -> str:
        """How many features there are of a kind; where there is no dense one, what a model gets in their place."""
        if self.data is None:
            return "as they are" if kind == DENSE else "one embedding each"
        count = len(self.data.dense if kind == DENSE else self.data.sparse)
        if kind == SPARSE:
            return "1 embedding" if count == 1 else f"{count:,} embeddings"
        return "none: a constant 0" if count == 0 else "1 number" if count == 1 else f"{count:,} numbers"

    def _branch(self, row: int, name: str) -> None:
        """A network beside the blocks: it reads the stem, and its output goes straight down to the logit.

        Each output has a place of its own from left to right, and passes behind the boxes below.
        """
        depth, box, title = dict(self.arch.branches)[name], self.plan.wide_box(row), _title(name)
        layers = f"{depth} layer{'s' if depth > 1 else ''}"
        place = (row - len(self.arch.blocks)) / (len(self.branches) + 1)
        x = box.left + place * (box.right - box.left)
        down = [(x, box.bottom), (x, self.plan.wide_box(self.plan.logit).top)]
        self._wide(row, f"<b>{BRANCHES[name].title}</b> · {layers} over D0 and S0")
        self.canvas.line(down, style.INK, 2.2, Meta(f"{title}'s output", True, (row, self.plan.logit)), arrow=True)
        hover = f"{BRANCHES[name].title}, {layers}<br>{BRANCHES[name].explanation}"
        self.canvas.area(box, hover, Meta(title, True, (row,)))

    def _logit(self) -> None:
        row, last = self.plan.logit, len(self.arch.blocks)
        read, hover = "dense, all fields", "One linear layer over the last block's outputs"
        if self.arch.logit == UNREAD:
            read, hover = "what no block reads", "One linear layer over all outputs that no block reads"
        if self.branches:
            beside = [_title(name) for name in self.branches.values()]
            read = ", ".join((*((f"D{last}", f"S{last}") if self.arch.logit == LAST else (read,)), *beside))
            hover += "".join(f"<br>and the {title}'s" for title in beside)
        self._wide(row, f"<b>Logit</b> = linear({read}) → click probability")
        self.canvas.area(self.plan.wide_box(row), hover, Meta("logit", True, (row,)))

    def _wide(self, row: int, title: str) -> None:
        """The frame and the box of a row that reads both halves."""
        box = self.plan.wide_box(row)
        self.canvas.panel(self.plan.card(row), style.RULE, style.PAPER, below=True)
        self.canvas.panel(box, style.INK, style.PAPER)
        self.canvas.text(box.center, title, style.INK, 13)

    def _block(self, row: int, block: Block, live: Live) -> None:
        card, alive = self.plan.card(row), live.dense_operators or live.sparse_operators
        self.canvas.panel(card, style.RULE, style.PAPER if alive else style.DEAD_TINT, below=True)
        title = f"<b>Block {row}</b>" + ("" if alive else f"  <i>{_UNREAD}</i>")
        color = style.INK if alive else style.DEAD_TEXT
        self.canvas.text((card.left + 14, card.top + 17), title, color, 13, "left")
        width = "wide as its inputs say" if block.sets_width else f"{block.dense_width} wide"
        for kind, operators, size, operator_live in (
            (DENSE, block.dense_operators, width, live.dense_operators),
            (SPARSE, block.sparse_operators, f"{block.sparse_width} fields", live.sparse_operators),
        ):
            if operators:
                parts = [OPERATORS[name] for name in operators]
                what = "<br>".join(f"<b>{part.title}</b>: {part.explanation}" for part in parts)
                hover = f"Block {row}, {kind} side, {size}<br>{what}"
                self._operator(row, kind, operator_names(operators), size, operator_live, hover)
            else:
                at = self.plan.operator(row, kind).center
                self.canvas.text(at, f"<i>no {kind} output</i>", style.DEAD_TEXT, 12)
        if block.dense_to_sparse:
            hover = f"Dense→sparse merger: the dense operator's output, made into {MERGED_FIELDS} fields, is appended"
            label = f"+ {MERGED_FIELDS} fields"
            self._merger(row, DENSE, SPARSE, "‖", label, "dense→sparse", live.dense_to_sparse, hover)
        if block.fm:
            hover = "FM merger: the products of all pairs of the sparse operator's fields, summed, are added"
            self._merger(row, SPARSE, DENSE, "+", "FM", "FM", live.fm, hover)

    def _operator(self, row: int, kind: str, title: str, detail: str, live: bool, hover: str) -> None:
        box = self.plan.operator(row, kind)
        x, y = box.center
        self.canvas.panel(box, _COLOR[kind] if live else style.DEAD, _TINT[kind] if live else style.DEAD_TINT)
        size = 13 if len(title) < 18 else 9.5
        self.canvas.text((x, y - 9), f"<b>{title}</b>", style.INK if live else style.DEAD_TEXT, size)
        self.canvas.text((x, y + 9), detail, style.MUTED if live else style.DEAD_TEXT, 11.5)
        self.canvas.area(box, _marked(hover, live), Meta(f"{kind} operator of {row}", live, (row,)))

    def _merger(
        self, row: int, source: str, target: str, sign: str, label: str, name: str, live: bool, hover: str
    ) -> None:
        """A line from the source's operator to where the target's output takes it in."""
        side, y = SIDE[target], self.plan.output_height(row)
        start = (self.plan.inner[source], self.plan.operator_height(row) + 10)
        level = (self.plan.inner[target] - side * 6, y)
        joint = (self.plan.middle[target], y)
        path = [*swing(start, level), (joint[0] - side * (_JOINT_RADIUS + 1), y)]
        meta = Meta(f"{name} of {row}", live, (row,))
        self._line(path, source, meta, arrow=True)
        at = (self.plan.inner[target] + side * 30, y)
        self.canvas.text(at, label, self._text_color(source, live), 10.5, background=style.PAPER)
        self.canvas.joint(joint, sign, _JOINT_RADIUS, _COLOR[target] if live else style.DEAD)
        left, right = sorted((level[0], joint[0] + side * _JOINT_RADIUS))
        area = Meta(f"{name} label of {row}", live, (row,))
        self.canvas.area(Rect(left, y - 12, right, y + 12), _marked(f"Block {row}. {hover}", live), area)

    def _line(self, path: Sequence[Point], kind: str, meta: Meta, arrow: bool = False) -> None:
        color, width = (_COLOR[kind], 2.2) if meta.live else (style.DEAD, 1.6)
        self.canvas.line(path, color, width, meta, arrow)

    def _text_color(self, kind: str, live: bool) -> str:
        return _COLOR[kind] if live else style.DEAD_TEXT


def _title(branch: str) -> str:
    """A branch's title within a line."""
    return BRANCHES[branch].title.lower()


def _key(link: Connection) -> str:
    return f"{link.kind} {link.role} {link.source}→{link.reader}"


def _origin(link: Connection) -> str:
    role = f"as {link.role}: " if link.role != INPUT else ""
    return f"{role}the {link.kind} {'features' if link.source == 0 else f'output of block {link.source}'}"


def _marked(hover: str, live: bool) -> str:
    return hover if live else f"{hover}<br><i>{_UNREAD}</i>"
