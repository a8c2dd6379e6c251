"""FC: Linear → LN → ReLU over the dense inputs side by side (NASRec, Zhang et al. 2023, section 3.1)."""

from __future__ import annotations

from collections.abc import Iterator

from recnas.space.operators import DENSE, DENSE_INPUTS, Layer, Operator, OperatorCode, Sizes, linear, norm, operator


@operator
class FullyConnected(Operator):
    name = "fc"
    side = DENSE
    reads = frozenset({DENSE_INPUTS})
    title = "FC"
    explanation = "fully connected: inputs side by side → linear → layer norm → ReLU"
    module = "recnas.nn.operators.fc:FullyConnected"

    def layers(self, sizes: Sizes) -> Iterator[Layer]:
        yield linear(sizes.columns, sizes.width)
        yield norm(sizes.width)

    def write(self, code: OperatorCode) -> None:
        code.projected(code.result, code.name, code.dense, code.width, kind="FullyConnected")
