"""Inner products of all vectors, themselves included (the dot product of AutoCTR, Song et al. 2020, section 3.1)."""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType

from recnas.space.operators import DENSE, DENSE_INPUTS, SPARSE_INPUTS, Layer, Operator, OperatorCode, Sizes, operator
from recnas.space.operators.vectors import count_vectors, reduction, write_vectors

_INNER_PRODUCTS = '''\
def inner_products(vectors: Tensor) -> Tensor:
    """The products of every two vectors of `[B, E, k]`, and of each with itself: `[B, k · (k + 1) / 2]`."""
    gram, count = vectors.transpose(1, 2) @ vectors, vectors.shape[2]
    rows, columns = torch.tril_indices(count, count, device=gram.device)
    return gram.flatten(1).index_select(1, rows * count + columns)
'''


@operator
class InnerProducts(Operator):
    name = "inner-products"
    side = DENSE
    reads = frozenset({DENSE_INPUTS, SPARSE_INPUTS})
    optional = True
    sets_width = True
    title = "Inner products"
    explanation = "products of all pairs of fields and of the reduced dense inputs, and of each with itself (AutoCTR)"
    module = "recnas.nn.operators.inner_products:InnerProducts"
    helpers = MappingProxyType({"inner_products": _INNER_PRODUCTS})

    def layers(self, sizes: Sizes) -> Iterator[Layer]:
        yield from reduction(sizes)
        yield Layer(0, count_vectors(sizes) ** 2 * sizes.dim)

    def output_width(self, sizes: Sizes) -> int:
        count = count_vectors(sizes)
        return count * (count + 1) // 2

    def write(self, code: OperatorCode) -> None:
        vectors = write_vectors(code)
        code.use("inner_products")
        code.step(f"{code.result} = inner_products({vectors})")
