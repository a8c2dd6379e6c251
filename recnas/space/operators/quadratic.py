"""Quadratic: layers of quadratic neurons, whose factors pass a ReLU (QNN-α, Li et al. 2025)."""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType

from recnas.space.operators import Branch, BranchCode, Layer, branch, linear
from recnas.space.operators.cross import STEM

FACTORS = 2
"""What each layer sums; the authors have 1 to 4."""

_QUADRATIC = '''\
class QuadraticNetwork(nn.Module):
    """x ← x + Σᵣ x ∘ ReLU(Wᵣ x + bᵣ), layer by layer (QNN-α, Li et al. 2025)."""

    def __init__(self, columns: int, factors: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(columns, factors * columns) for _ in range(layers))
        for layer in self.layers:
            nn.init.zeros_(layer.bias)

    def forward(self, stem: Tensor) -> Tensor:
        x = stem
        for layer in self.layers:
            x = x * F.relu(layer(x)).unflatten(1, (-1, x.shape[1])).sum(1) + x
        return x
'''


@branch
class Quadratic(Branch):
    name = "quadratic"
    title = "Quadratic network"
    explanation = "layers over the stem: x + a sum of two x ∘ ReLU(W x + b) (QNN-α)"
    module = "recnas.nn.operators.quadratic:QuadraticNetwork"
    helpers = MappingProxyType({"QuadraticNetwork": _QUADRATIC})
    leads = True

    def layers(self, columns: int, depth: int) -> Iterator[Layer]:
        for _ in range(depth):
            yield linear(columns, FACTORS * columns, bias=True)

    def write(self, code: BranchCode) -> None:
        code.use("QuadraticNetwork")
        code.layer(code.name, f"QuadraticNetwork({code.columns}, {FACTORS}, {code.depth})")
        code.step(f"{code.result} = self.{code.name}({code.stem})")
        for layer in range(code.depth):
            code.take(f"{code.name}.layers.{layer}.weight", f"layers.{layer}.weight.{STEM}")
            code.take(f"{code.name}.layers.{layer}.bias", f"layers.{layer}.bias")
