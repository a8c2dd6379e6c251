"""MLP: one layer over the dense inputs and all fields side by side (AutoCTR, Song et al. 2020, section 3.1)."""

from __future__ import annotations

from collections.abc import Iterator

from recnas.space.operators import (
    DENSE,
    DENSE_INPUTS,
    SPARSE_INPUTS,
    Layer,
    Operator,
    OperatorCode,
    Sizes,
    linear,
    operator,
)
from recnas.space.operators.vectors import all_columns, write_linear


@operator
class MLP(Operator):
    name = "mlp"
    side = DENSE
    reads = frozenset({DENSE_INPUTS, SPARSE_INPUTS})
    optional = True
    title = "MLP"
    explanation = "dense inputs and all fields side by side → linear → ReLU (AutoCTR)"
    module = "recnas.nn.operators.mlp:MLP"

    def layers(self, sizes: Sizes) -> Iterator[Layer]:
        yield linear(sizes.columns + sizes.fields * sizes.dim, sizes.width, bias=True)

    def write(self, code: OperatorCode) -> None:
        columns = all_columns(code)
        write_linear(code, "linear", "linear", columns, code.width)
        code.set("mixed", f"self.{code.name}_linear", columns)
        code.step(f"{code.result} = F.relu(mixed)")
