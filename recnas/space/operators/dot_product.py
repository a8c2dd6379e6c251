"""Dot-Product: products of all pairs of vectors (NASRec, Zhang et al. 2023, section 3.1)."""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType

from recnas.space.operators import (
    DENSE,
    DENSE_INPUTS,
    SPARSE_INPUTS,
    Layer,
    Operator,
    OperatorCode,
    Sizes,
    linear,
    norm,
    operator,
)

_PRODUCTS = '''\
def products(vector: Tensor, vectors: Tensor) -> Tensor:
    """The products of every two of the vectors `[B, E]` and `[B, E, k]`: `[B, k · (k + 1) / 2]`."""
    all_vectors = torch.cat((vector.unsqueeze(2), vectors), dim=2)
    gram, count = all_vectors.transpose(1, 2) @ all_vectors, all_vectors.shape[2]
    rows, columns = torch.tril_indices(count, count, offset=-1, device=gram.device)
    return gram.flatten(1).index_select(1, rows * count + columns)
'''


def reduced_fields(width: int) -> int:
    """k, the fields that the sparse input is reduced to before taking products: round(√(2·dd))."""
    return round((2 * width) ** 0.5)


@operator
class DotProduct(Operator):
    name = "dot-product"
    side = DENSE
    reads = frozenset({DENSE_INPUTS, SPARSE_INPUTS})
    title = "Dot-Product"
    explanation = "products of all pairs of the reduced dense and sparse inputs → linear → layer norm"
    module = "recnas.nn.operators.dot_product:DotProduct"
    helpers = MappingProxyType({"products": _PRODUCTS})

    def layers(self, sizes: Sizes) -> Iterator[Layer]:
        reduced = reduced_fields(sizes.width)
        if sizes.columns != sizes.dim:
            yield linear(sizes.columns, sizes.dim)
            yield norm(sizes.dim)
        if sizes.fields != reduced:
            yield linear(sizes.fields, reduced, repeats=sizes.dim)
            yield norm(reduced)
        yield Layer(0, (reduced + 1) ** 2 * sizes.dim)
        if (products := reduced * (reduced + 1) // 2) != sizes.width:
            yield linear(products, sizes.width)
        yield norm(sizes.width)

    def write(self, code: OperatorCode) -> None:
        reduced = reduced_fields(code.width)
        for variable, values, wanted, layer, own in (
            ("vector", code.dense, code.dim, "dense", "dense"),
            ("vectors", code.sparse, reduced, "fields", "sparse"),
        ):
            if sum(value.width for value in values) != wanted:
                code.projected(variable, f"{code.name}_{layer}", values, wanted, f"{own}_linear", f"{own}_norm")
            else:
                code.use("joined")
                code.set(variable, "joined", values)
        code.use("products")
        code.mapped(code.value("products(vector, vectors)", reduced * (reduced + 1) // 2, "products"))
