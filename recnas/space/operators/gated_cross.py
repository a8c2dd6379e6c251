"""Gated cross: cross layers whose outputs pass a gate (GDCN, Wang et al. 2023, CIKM)."""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType

from recnas.space.operators import Branch, BranchCode, Layer, branch, linear
from recnas.space.operators.stem import take_linear, write_network

_GATED_CROSS = '''\
class GatedCrossNetwork(nn.Module):
    """x ← x₀ ∘ (W x + b) ∘ sigmoid(W_g x) + x, layer by layer (GDCN, Wang et al. 2023)."""

    def __init__(self, columns: int, layers: int) -> None:
        super().__init__()
        self.cross = nn.ModuleList(nn.Linear(columns, columns) for _ in range(layers))
        self.gate = nn.ModuleList(nn.Linear(columns, columns, bias=False) for _ in range(layers))
        for cross in self.cross:
            nn.init.zeros_(cross.bias)

    def forward(self, stem: Tensor) -> Tensor:
        x = stem
        for cross, gate in zip(self.cross, self.gate, strict=True):
            x = stem * cross(x) * torch.sigmoid(gate(x)) + x
        return x
'''


@branch
class GatedCross(Branch):
    name = "gated-cross"
    title = "Gated cross network"
    explanation = "gated layers over the stem: x₀ ∘ (W x + b) ∘ σ(W_g x) + x (GDCN)"
    module = "recnas.nn.operators.gated_cross:GatedCrossNetwork"
    helpers = MappingProxyType({"GatedCrossNetwork": _GATED_CROSS})
    leads = True

    def layers(self, columns: int, depth: int) -> Iterator[Layer]:
        for _ in range(depth):
            yield linear(columns, columns, bias=True)
            yield linear(columns, columns)

    def write(self, code: BranchCode) -> None:
        write_network(code, "GatedCrossNetwork", code.columns)
        for layer in range(code.depth):
            take_linear(code, layer, "cross", bias=True)
            take_linear(code, layer, "gate")
