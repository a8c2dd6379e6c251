"""Cross of experts: DCN-V2's mixture of low-rank experts, DCN-Mix (Wang et al. 2021, equations 4 and 5)."""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType

from recnas.space.operators import Branch, BranchCode, Layer, branch, linear
from recnas.space.operators.stem import STEM, take_linear, write_network

EXPERTS = 4
RANK_SHARE = 16
"""Columns for each of an expert's rank: four experts together have the matrices of a low-rank cross layer."""

_CROSS_MIXTURE = '''\
class CrossMixture(nn.Module):
    """x ← x₀ ∘ (Σᵢ Gᵢ(x) · Uᵢ tanh(Cᵢ tanh(Vᵢᵀ x)) + b) + x, layer by layer (DCN-V2, Wang et al. 2021)."""

    def __init__(self, columns: int, rank: int, experts: int, layers: int) -> None:
        super().__init__()
        self.down = nn.ModuleList(nn.Linear(columns, experts * rank, bias=False) for _ in range(layers))
        self.within = nn.ModuleList(
            nn.ModuleList(nn.Linear(rank, rank, bias=False) for _ in range(experts)) for _ in range(layers)
        )
        self.up = nn.ModuleList(nn.Linear(experts * rank, columns) for _ in range(layers))
        self.gate = nn.ModuleList(nn.Linear(columns, experts, bias=False) for _ in range(layers))
        for up in self.up:
            nn.init.zeros_(up.bias)

    def forward(self, stem: Tensor) -> Tensor:
        x = stem
        for down, within, up, gate in zip(self.down, self.within, self.up, self.gate, strict=True):
            low = torch.tanh(down(x)).chunk(len(within), dim=1)
            gates = torch.softmax(gate(x), dim=1).split(1, dim=1)
            experts = [torch.tanh(own(part)) * share for own, part, share in zip(within, low, gates, strict=True)]
            x = stem * up(torch.cat(experts, dim=1)) + x
        return x
'''


@branch
class CrossOfExperts(Branch):
    name = "cross-mixture"
    title = "Cross network of experts"
    explanation = "layers over the stem: x₀ ∘ (gated sum of experts of x + b) + x (DCN-Mix)"
    module = "recnas.nn.operators.cross_mixture:CrossMixture"
    helpers = MappingProxyType({"CrossMixture": _CROSS_MIXTURE})
    leads = True

    def layers(self, columns: int, depth: int) -> Iterator[Layer]:
        rank = rank_of(columns)
        for _ in range(depth):
            yield linear(columns, EXPERTS * rank)
            for _ in range(EXPERTS):
                yield linear(rank, rank)
            yield linear(EXPERTS * rank, columns, bias=True)
            yield linear(columns, EXPERTS)

    def write(self, code: BranchCode) -> None:
        write_network(code, "CrossMixture", code.columns, rank_of(code.columns), EXPERTS)
        for layer in range(code.depth):
            take_linear(code, layer, "down")
            take_linear(code, layer, "up", bias=True)
            take_linear(code, layer, "gate")
            for place in range(EXPERTS):
                own = f"layers.{layer}.within.{place}.weight.{STEM}"
                code.take(f"{code.name}.within.{layer}.{place}.weight", own)


def rank_of(columns: int) -> int:
    """The rank of an expert's matrices over so many columns."""
    return max(1, columns // RANK_SHARE)
