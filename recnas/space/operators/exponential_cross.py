"""Exponential cross: layers that multiply their own input, so that degrees double (ECN of FCN, Li et al. 2024)."""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType

from recnas.space.operators import Branch, BranchCode, Layer, branch, linear, norm
from recnas.space.operators.stem import take_linear, write_network

ONE = "one"
"""The source that a layer's bias reads: a column of ones."""

_EXPONENTIAL_CROSS = '''\
class ExponentialCrossNetwork(nn.Module):
    """x ← x ∘ ([h ; h ∘ ReLU(LN(h))] + b) + x with h = W x, layer by layer (FCN, Li et al. 2024)."""

    def __init__(self, columns: int, layers: int) -> None:
        super().__init__()
        half = (columns + 1) // 2
        self.linear = nn.ModuleList(nn.Linear(columns, half, bias=False) for _ in range(layers))
        self.norm = nn.ModuleList(nn.LayerNorm(half) for _ in range(layers))
        self.bias = nn.ParameterList(nn.Parameter(torch.zeros(columns, 1)) for _ in range(layers))

    def forward(self, dense: Tensor, fields: Tensor) -> Tensor:
        # First and second halves of columns are treated differently: each field has a share of both.
        x = torch.cat([dense, *(half.flatten(1) for half in fields.tensor_split(2, dim=2))], dim=1)
        for linear, norm, bias in zip(self.linear, self.norm, self.bias, strict=True):
            h = linear(x)
            crossed = torch.cat([h, h * F.relu(norm(h))], dim=1)[:, : x.shape[1]]
            x = x * (crossed + bias.squeeze(1)) + x
        return x
'''


@branch
class ExponentialCross(Branch):
    name = "exponential-cross"
    title = "Exponential cross network"
    explanation = "layers over the stem: x ∘ ([h ; h ∘ ReLU(LN(h))] + b) + x, h = W x (ECN)"
    module = "recnas.nn.operators.exponential_cross:ExponentialCrossNetwork"
    helpers = MappingProxyType({"ExponentialCrossNetwork": _EXPONENTIAL_CROSS})
    leads = True

    def layers(self, columns: int, depth: int) -> Iterator[Layer]:
        for _ in range(depth):
            yield linear(columns, half_of(columns))
            yield norm(half_of(columns))
            yield linear(1, columns)

    def write(self, code: BranchCode) -> None:
        write_network(code, "ExponentialCrossNetwork", code.columns, inputs=f"{code.dense}, {code.fields}")
        for layer in range(code.depth):
            take_linear(code, layer, "linear")
            code.take_norm(f"{code.name}.norm.{layer}", f"layers.{layer}.norm")
            code.take(f"{code.name}.bias.{layer}", f"layers.{layer}.bias.weight.{ONE}")


def half_of(columns: int) -> int:
    """The columns of h."""
    return (columns + 1) // 2
