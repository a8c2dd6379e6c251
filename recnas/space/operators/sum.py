"""Sum: left + right → Linear → LN (NASRec, Zhang et al. 2023, section 3.1)."""

from __future__ import annotations

from collections.abc import Iterator

from recnas.space.operators import DENSE, OPERANDS, Layer, Operator, OperatorCode, Sizes, linear, norm, operator


@operator
class Sum(Operator):
    name = "sum"
    side = DENSE
    reads = frozenset({OPERANDS})
    title = "Sum"
    explanation = "left + right → linear → layer norm"
    module = "recnas.nn.operators.sum:Sum"

    def layers(self, sizes: Sizes) -> Iterator[Layer]:
        if (padded := max(sizes.left, sizes.right)) != sizes.width:
            yield linear(padded, sizes.width)
        yield norm(sizes.width)

    def write(self, code: OperatorCode) -> None:
        padded = max(code.left.width, code.right.width)
        left, right = (code.padded(operand, padded) for operand in (code.left, code.right))
        code.step(f"added = {left} + {right}")
        code.mapped(code.value("added", padded, "sum"))
