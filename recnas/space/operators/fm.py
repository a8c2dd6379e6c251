"""FM: a factorisation machine as a block (Rendle 2010; AutoCTR, Song et al. 2020, section 3.1)."""

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
from recnas.space.operators.vectors import all_columns, reduction, write_linear, write_vectors


@operator
class FM(Operator):
    name = "fm"
    side = DENSE
    reads = frozenset({DENSE_INPUTS, SPARSE_INPUTS})
    optional = True
    sets_width = True
    title = "FM"
    explanation = "a linear part, and the sum of the products of all pairs of fields and reduced dense inputs (AutoCTR)"
    module = "recnas.nn.operators.fm:FM"

    def layers(self, sizes: Sizes) -> Iterator[Layer]:
        yield linear(sizes.columns + sizes.fields * sizes.dim, 1, bias=True)
        yield from reduction(sizes)

    def output_width(self, sizes: Sizes) -> int:
        return 1

    def write(self, code: OperatorCode) -> None:
        columns = all_columns(code)
        write_linear(code, "linear", "linear", columns, 1)
        code.set("first_order", f"self.{code.name}_linear", columns)
        vectors = write_vectors(code)
        code.use("interactions")
        code.step(f"{code.result} = first_order + interactions({vectors}).sum(1, keepdim=True) / 2")
