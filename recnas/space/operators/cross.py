"""Cross: DCN-V2's cross network in its parallel structure (Wang et al. 2021, equation 1 and section 3.3)."""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType

from recnas.space.operators import Branch, BranchCode, Layer, branch, linear
from recnas.space.operators.stem import STEM, write_network

_CROSS_NETWORK = '''\
class CrossNetwork(nn.Module):
    """x ← x₀ ∘ (W x + b) + x, layer by layer (DCN-V2, Wang et al. 2021)."""

    def __init__(self, columns: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(columns, columns) for _ in range(layers))
        for layer in self.layers:
            nn.init.zeros_(layer.bias)

    def forward(self, stem: Tensor) -> Tensor:
        x = stem
        for layer in self.layers:
            x = stem * layer(x) + x
        return x
'''


@branch
class Cross(Branch):
    name = "cross"
    title = "Cross network"
    explanation = "cross layers over the stem: x₀ ∘ (W x + b) + x (DCN-V2)"
    module = "recnas.nn.operators.cross:CrossNetwork"
    helpers = MappingProxyType({"CrossNetwork": _CROSS_NETWORK})
    # The sums of the blocks' hundreds of normalised outputs would drown it for the first steps, and Adagrad remembers
    # these.
    leads = True

    def layers(self, columns: int, depth: int) -> Iterator[Layer]:
        for _ in range(depth):
            yield linear(columns, columns, bias=True)

    def write(self, code: BranchCode) -> None:
        write_network(code, "CrossNetwork", code.columns)
        for layer in range(code.depth):
            code.take(f"{code.name}.layers.{layer}.weight", f"layers.{layer}.weight.{STEM}")
            code.take(f"{code.name}.layers.{layer}.bias", f"layers.{layer}.bias")
