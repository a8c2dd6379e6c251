"""Where everything in the drawing of an architecture is, in pixels; x grows to the right, y downwards."""

from __future__ import annotations

from recnas.report.canvas import Point, Rect
from recnas.report.wiring import DENSE, INPUT, LEFT, RIGHT, SPARSE, Connection

SIDE = {DENSE: -1, SPARSE: 1}
"""The dense half is the left one."""

_MARGIN, _LANE, _GAP = 26, 27, 92
_CARD_WIDTH, _CARD_HEIGHT, _END_HEIGHT, _SPACE = 540, 126, 62, 16
_BOX_WIDTH, _BOX_HEIGHT, _BOX_INSET = 152, 42, 52

_OPERATOR, _OUTPUT, _CROSSING = 54, 104, 17
"""Inside a block, from its top: the operators' middle, the outputs, and Dot-Product's reading of sparse inputs."""

_OPERAND = {INPUT: 0, LEFT: -11, RIGHT: 11}
"""Left comes in above the operator's middle, right below."""


class Plan:
    """The places of a drawing with `count` blocks.

    Row 0 is the stem, then come the blocks, the branches if there are any, and last, as row `logit`, the logit.
    """

    def __init__(self, count: int, logit: int) -> None:
        self.count = count
        self.logit = logit
        left = _MARGIN + count * _LANE + _GAP
        right = left + _CARD_WIDTH
        self.outside = {DENSE: left, SPARSE: right}
        """Where a row's card ends."""
        self.edge = {DENSE: left + _BOX_INSET, SPARSE: right - _BOX_INSET}
        """Where inputs enter an operator."""
        self.inner = {kind: x - SIDE[kind] * _BOX_WIDTH for kind, x in self.edge.items()}
        """Where an operator faces the other half."""
        self.middle = {kind: x - SIDE[kind] * _BOX_WIDTH / 2 for kind, x in self.edge.items()}
        self.width = right + left
        self.height = self.card(self.logit).bottom + _SPACE / 2

    def card(self, row: int) -> Rect:
        """The frame of a row."""
        blocks = min(max(0, row - 1), self.count)
        others = row - blocks
        top = _SPACE / 4 + others * (_END_HEIGHT + _SPACE) + blocks * (_CARD_HEIGHT + _SPACE)
        height = _CARD_HEIGHT if 1 <= row <= self.count else _END_HEIGHT
        return Rect(self.outside[DENSE], top, self.outside[SPARSE], top + height)

    def operator(self, row: int, kind: str) -> Rect:
        """The box of a row's dense or sparse operator."""
        return Rect.around(self.middle[kind], self.operator_height(row), _BOX_WIDTH, _BOX_HEIGHT)

    def wide_box(self, row: int) -> Rect:
        """The box of what reads dense and sparse outputs alike: of a branch, of the logit."""
        _, y = self.card(row).center
        width = self.edge[SPARSE] - self.edge[DENSE]
        return Rect.around((self.edge[DENSE] + self.edge[SPARSE]) / 2, y, width, _BOX_HEIGHT)

    def operator_height(self, row: int) -> float:
        card = self.card(row)
        return card.top + _OPERATOR if 1 <= row <= self.count else card.center[1]

    def output_height(self, row: int) -> float:
        """Where an output leaves its row."""
        return self.card(row).top + _OUTPUT if row else self.operator_height(row)

    def entry_height(self, link: Connection) -> float:
        """Where a connection comes in."""
        return self.operator_height(link.reader) + _OPERAND[link.role]

    def lane(self, kind: str, source: int) -> float:
        """The wire of an output; the stem's is the outermost, so no output crosses a wire on its way to its own."""
        return self.outside[kind] + SIDE[kind] * (_GAP + (self.count - source) * _LANE)

    def way_out(self, kind: str, source: int) -> list[Point]:
        """How an output's line begins: beside the stem's box, or below the operator."""
        y = self.output_height(source)
        if source == 0:
            return [(self.edge[kind], y)]
        return [(self.middle[kind], self.operator(source, kind).bottom), (self.middle[kind], y)]

    def way_to_products(self, row: int) -> list[Point]:
        """How Dot-Product reads the sparse inputs: over the top of the sparse operator."""
        y, top = self.operator_height(row), self.card(row).top + _CROSSING
        split = (self.outside[SPARSE] + self.edge[SPARSE]) / 2
        turn, end = self.inner[DENSE] + 30, self.inner[DENSE]
        return [(self.outside[SPARSE], y), (split, y), (split, top), (turn, top), (turn, y - 10), (end, y - 10)]
