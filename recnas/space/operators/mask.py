"""Mask: MaskNet's instance-guided mask over one dense output, from another (Wang et al. 2021)."""

from __future__ import annotations

from collections.abc import Iterator

from recnas.space.operators import DENSE, OPERANDS, Layer, Operator, OperatorCode, Sizes, linear, norm, operator

REDUCTION = 4
"""Columns that are masked, for each of the mask's hidden layer."""


@operator
class Mask(Operator):
    name = "mask"
    side = DENSE
    reads = frozenset({OPERANDS})
    symmetric = False
    title = "Mask"
    explanation = "a mask of two linear layers of left, times right → linear → layer norm → ReLU (MaskNet)"
    module = "recnas.nn.operators.mask:Mask"

    def layers(self, sizes: Sizes) -> Iterator[Layer]:
        hidden = hidden_of(sizes.right)
        yield linear(sizes.left, hidden, bias=True)
        yield linear(hidden, sizes.right, bias=True)
        yield linear(sizes.right, sizes.width)
        yield norm(sizes.width)

    def write(self, code: OperatorCode) -> None:
        left, right, hidden = code.left, code.right, hidden_of(code.right.width)
        for name, own, source, columns, width in (
            (f"{code.name}_hidden", "hidden", left.source, left.width, hidden),
            (f"{code.name}_mask", "mask", "hidden", hidden, right.width),
        ):
            code.layer(name, f"JoinedLinear(({columns},), {width}, bias=True)")
            code.take(f"{name}.weights.0", f"{own}.weight.{source}")
            code.take(f"{name}.bias", f"{own}.bias")
        code.step(f"masked = self.{code.name}_mask(F.relu(self.{code.name}_hidden({left.name}))) * {right.name}")
        value = code.value("masked", right.width, right.source)
        code.projected(code.result, code.name, [value], code.width, kind="FullyConnected")


def hidden_of(columns: int) -> int:
    """The columns of the hidden layer of a mask over so many columns."""
    return max(1, columns // REDUCTION)
