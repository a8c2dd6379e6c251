"""Quadratic: layers of quadratic neurons, whose factors pass a ReLU (QNN-α, Li et al. 2025)."""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType

from recnas.space.operators import Branch, BranchCode, Layer, branch, linear, norm
from recnas.space.operators.stem import take_linear, write_network

FACTORS = 2
"""What each layer sums; the authors have 1 to 4."""

_QUADRATIC = '''\
class QuadraticNetwork(nn.Module):
    """x ← x + Σᵣ x ∘ ReLU(LN(Wᵣ x + bᵣ)), layer by layer (QNN-α, Li et al. 2025)."""

    def __init__(self, columns: int, factors: int, layers: int) -> None:
        super().__init__()
        self.linear = nn.ModuleList(nn.Linear(columns, factors * columns) for _ in range(layers))
        self.norm = nn.ModuleList(nn.LayerNorm(factors * columns) for _ in range(layers))
        for linear in self.linear:
            nn.init.zeros_(linear.bias)

    def forward(self, stem: Tensor) -> Tensor:
        x = stem
        for linear, norm in zip(self.linear, self.norm, strict=True):
            x = x * F.relu(norm(linear(x))).unflatten(1, (-1, x.shape[1])).sum(1) + x
        return x
'''


@branch
class Quadratic(Branch):
    name = "quadratic"
    title = "Quadratic network"
    explanation = "layers over the stem: x + a sum of two x ∘ ReLU(LN(W x + b)) (QNN-α)"
    module = "recnas.nn.operators.quadratic:QuadraticNetwork"
    helpers = MappingProxyType({"QuadraticNetwork": _QUADRATIC})
    leads = True

    def layers(self, columns: int, depth: int) -> Iterator[Layer]:
        for _ in range(depth):
            yield linear(columns, FACTORS * columns, bias=True)
            yield norm(FACTORS * columns)

    def write(self, code: BranchCode) -> None:
        write_network(code, "QuadraticNetwork", code.columns, FACTORS)
        for layer in range(code.depth):
            take_linear(code, layer, "linear", bias=True)
            code.take_norm(f"{code.name}.norm.{layer}", f"layers.{layer}.norm")
