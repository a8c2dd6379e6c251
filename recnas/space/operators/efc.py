"""EFC: the embedding FC, Linear → LN → ReLU over the field axis (NASRec, Zhang et al. 2023, section 3.1)."""

from __future__ import annotations

from collections.abc import Iterator

from recnas.space.operators import SPARSE, SPARSE_INPUTS, Layer, Operator, OperatorCode, Sizes, linear, norm, operator


@operator
class EmbeddingFullyConnected(Operator):
    name = "efc"
    side = SPARSE
    reads = frozenset({SPARSE_INPUTS})
    title = "EFC"
    explanation = "embedding FC: linear over the fields → layer norm → ReLU"
    module = "recnas.nn.operators.efc:EmbeddingFullyConnected"

    def layers(self, sizes: Sizes) -> Iterator[Layer]:
        yield linear(sizes.fields, sizes.width, repeats=sizes.dim)
        yield norm(sizes.width)

    def write(self, code: OperatorCode) -> None:
        code.projected(code.result, code.name, code.sparse, code.width, kind="FullyConnected")
