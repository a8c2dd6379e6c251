"""Gating: sigmoid(Linear(left)) · right → Linear → LN (NASRec, Zhang et al. 2023, section 3.1)."""

from __future__ import annotations

from collections.abc import Iterator

from recnas.space.operators import DENSE, OPERANDS, Layer, Operator, OperatorCode, Sizes, norm, operator


@operator
class Gating(Operator):
    name = "gating"
    side = DENSE
    reads = frozenset({OPERANDS})
    symmetric = False
    title = "Gating"
    explanation = "sigmoid of a linear of left, times right → linear → layer norm"
    module = "recnas.nn.operators.gating:Gating"

    def layers(self, sizes: Sizes) -> Iterator[Layer]:
        # The weights are those of the padded matrices; products with the padding's zeros are not computed.
        padded = max(sizes.left, sizes.right)
        yield Layer(padded * padded + padded, sizes.left * sizes.right)
        if padded != sizes.width:
            yield Layer(padded * sizes.width + sizes.width, sizes.right * sizes.width)
        yield norm(sizes.width)

    def write(self, code: OperatorCode) -> None:
        padded = max(code.left.width, code.right.width)
        left, right = (code.padded(operand, padded) for operand in (code.left, code.right))
        code.layer(f"{code.name}_gate", f"JoinedLinear(({padded},), {padded}, bias=True)")
        code.take(f"{code.name}_gate.weights.0", f"gate.weight.{code.left.source}")
        code.take(f"{code.name}_gate.bias", "gate.bias")
        code.step(f"gated = torch.sigmoid(self.{code.name}_gate({left})) * {right}")
        code.mapped(code.value("gated", padded, code.right.source), bias=True)
