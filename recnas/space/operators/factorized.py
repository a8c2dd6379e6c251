"""Factorised interaction: FinalNet's layer of second order over the dense inputs (Zhu et al. 2023)."""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType

from recnas.space.operators import DENSE, DENSE_INPUTS, Layer, Operator, OperatorCode, Sizes, linear, norm, operator

_FACTORIZED = '''\
def factorized(columns: Tensor) -> Tensor:
    """Pairs of columns (h₂, h₁) → (h₂, h₁ ∘ h₂), one after the other; a last column without a partner stays."""
    pairs = F.pad(columns, (0, columns.shape[1] % 2)).unflatten(1, (-1, 2))
    return torch.stack((pairs[..., 0], pairs.prod(2)), dim=2).flatten(1)[:, : columns.shape[1]]
'''


@operator
class FactorizedInteraction(Operator):
    name = "factorized"
    side = DENSE
    reads = frozenset({DENSE_INPUTS})
    title = "Factorised"
    explanation = "inputs side by side → linear, half h₁, half h₂ → h₂ beside h₁ ∘ h₂ → layer norm → ReLU (FinalNet)"
    module = "recnas.nn.operators.factorized:FactorizedInteraction"
    helpers = MappingProxyType({"factorized": _FACTORIZED})

    def layers(self, sizes: Sizes) -> Iterator[Layer]:
        yield linear(sizes.columns, sizes.width, bias=True)
        yield norm(sizes.width)

    def write(self, code: OperatorCode) -> None:
        widths = tuple(value.width for value in code.dense)
        code.use("factorized")
        code.layer(f"{code.name}_linear", f"JoinedLinear({widths}, {code.width}, bias=True)")
        code.layer(code.name, f"nn.LayerNorm({code.width})")
        for place, value in enumerate(code.dense):
            code.take(f"{code.name}_linear.weights.{place}", f"linear.weight.{value.source}")
        code.take(f"{code.name}_linear.bias", "linear.bias")
        code.take_norm(code.name, "norm")
        code.set("mixed", f"self.{code.name}_linear", code.dense)
        code.step(f"{code.result} = F.relu(self.{code.name}(factorized(mixed)))")
