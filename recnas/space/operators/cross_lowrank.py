"""Cross of low rank: DCN-V2's cross network whose matrices are products of two (Wang et al. 2021, equation 3)."""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType

from recnas.space.operators import Branch, BranchCode, Layer, branch, linear
from recnas.space.operators.stem import take_linear, write_network

RANK_SHARE = 4
"""Columns for each of the rank, with which the paper finds hardly anything lost; a layer costs half of a full one."""

_LOW_RANK_CROSS = '''\
class LowRankCrossNetwork(nn.Module):
    """x ← x₀ ∘ (U (Vᵀ x) + b) + x, layer by layer (DCN-V2, Wang et al. 2021)."""

    def __init__(self, columns: int, rank: int, layers: int) -> None:
        super().__init__()
        self.down = nn.ModuleList(nn.Linear(columns, rank, bias=False) for _ in range(layers))
        self.up = nn.ModuleList(nn.Linear(rank, columns) for _ in range(layers))
        for up in self.up:
            nn.init.zeros_(up.bias)

    def forward(self, stem: Tensor) -> Tensor:
        x = stem
        for down, up in zip(self.down, self.up, strict=True):
            x = stem * up(down(x)) + x
        return x
'''


@branch
class LowRankCross(Branch):
    name = "cross-lowrank"
    title = "Low-rank cross network"
    explanation = "low-rank layers over the stem: x₀ ∘ (U Vᵀ x + b) + x (DCN-V2)"
    module = "recnas.nn.operators.cross_lowrank:LowRankCrossNetwork"
    helpers = MappingProxyType({"LowRankCrossNetwork": _LOW_RANK_CROSS})
    leads = True

    def layers(self, columns: int, depth: int) -> Iterator[Layer]:
        rank = rank_of(columns)
        for _ in range(depth):
            yield linear(columns, rank)
            yield linear(rank, columns, bias=True)

    def write(self, code: BranchCode) -> None:
        write_network(code, "LowRankCrossNetwork", code.columns, rank_of(code.columns))
        for layer in range(code.depth):
            take_linear(code, layer, "down")
            take_linear(code, layer, "up", bias=True)


def rank_of(columns: int) -> int:
    """The rank of a matrix over so many columns."""
    return max(1, columns // RANK_SHARE)
