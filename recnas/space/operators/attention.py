"""Attention among fields, and a feed-forward layer over columns (NASRec, Zhang et al. 2023, section 3.1)."""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType

from recnas.space.operators import SPARSE, SPARSE_INPUTS, Layer, Operator, OperatorCode, Sizes, linear, norm, operator

HEADS = 8
NORM_START = 0.17
"""What the weights of the norms over E columns start at."""

_SELF_ATTENTION = f'''\
class SelfAttention(nn.Module):
    """Self-attention over fields and a feed-forward layer over E columns, each added to what came in and normed."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        # A key's bias would shift all scores of a query alike, which softmax does not see.
        self.query, self.key, self.value = (JoinedLinear((dim,), dim, bias) for bias in (True, False, True))
        self.out = JoinedLinear((dim,), dim, bias=True)
        self.attention_norm, self.feed_forward_norm = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.feed_forward_in, self.feed_forward_out = (JoinedLinear((dim,), dim, bias=True) for _ in range(2))
        for norm in (self.attention_norm, self.feed_forward_norm):
            nn.init.constant_(norm.weight, {NORM_START})

    def forward(self, fields: Tensor) -> Tensor:
        """`[B, E, fields]` → the same shape."""
        x = fields.transpose(1, 2)
        query, key, value = (
            layer(x).unflatten(2, (self.heads, -1)).transpose(1, 2) for layer in (self.query, self.key, self.value)
        )
        attended = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        x = self.attention_norm(x + self.out(attended))
        x = self.feed_forward_norm(x + self.feed_forward_out(F.relu(self.feed_forward_in(x))))
        return x.transpose(1, 2)
'''


@operator
class Attention(Operator):
    name = "attention"
    side = SPARSE
    reads = frozenset({SPARSE_INPUTS})
    title = "Attention"
    explanation = "linear over the fields, then self-attention among them"
    module = "recnas.nn.operators.attention:Attention"
    helpers = MappingProxyType({"SelfAttention": _SELF_ATTENTION})

    def layers(self, sizes: Sizes) -> Iterator[Layer]:
        width, dim = sizes.width, sizes.dim
        yield linear(sizes.fields, width, repeats=dim)
        yield norm(width)
        yield linear(dim, 3 * dim, repeats=width, bias=True)
        yield Layer(0, 2 * width * width * dim)
        yield linear(dim, dim, repeats=width, bias=True)
        yield norm(dim)
        for _ in range(2):
            yield linear(dim, dim, repeats=width, bias=True)
        yield norm(dim)

    def write(self, code: OperatorCode) -> None:
        name, dim = code.name, code.dim
        code.projected("tokens", f"{name}_fields", code.sparse, code.width)
        code.use("SelfAttention")
        code.layer(name, f"SelfAttention({dim}, {HEADS})")
        # A key's bias is no weight: softmax does not see it.
        for place, part in enumerate(("query", "key", "value")):
            rows = slice(place * dim, (place + 1) * dim)
            code.take(f"{name}.{part}.weights.0", "in_projection.weight.fields", rows)
            if part != "key":
                code.take(f"{name}.{part}.bias", "in_projection.bias", rows)
        for mine, own in (
            ("out", "out_projection"),
            ("feed_forward_in", "feed_forward_in"),
            ("feed_forward_out", "feed_forward_out"),
        ):
            code.take(f"{name}.{mine}.weights.0", f"{own}.weight.fields")
            code.take(f"{name}.{mine}.bias", f"{own}.bias")
        for norm_name in ("attention_norm", "feed_forward_norm"):
            code.take_norm(f"{name}.{norm_name}", norm_name)
        code.step(f"{code.result} = self.{name}(tokens)")
