"""A candidate's passes in bfloat16, where a processor multiplies it faster than single precision.

What layers give one another is rounded to bfloat16, to 8 significant bits; sums within an operator are in single
precision, as are norms' weights, the logit and what statistics are summed up in.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from recnas.proxies.recorder import Recorder

PADDED = 32
"""Columns that are put side by side are made up to a multiple of it."""


class Bfloat16Recorder(Recorder):
    """Records a candidate that computes in bfloat16."""

    dtype = torch.bfloat16

    def __init__(self) -> None:
        super().__init__()
        self._joined: dict[nn.Module, Tensor] = {}

    def linear(
        self, layer: nn.Module, inputs: Sequence[Tensor], weights: Sequence[Tensor], bias: Tensor | None
    ) -> Tensor:
        if len(weights[0]) == 1:
            # The logit, whose last digits the loss and every gradient hang on, costs next to nothing.
            return super().linear(layer, [x.float() for x in inputs], weights, bias)
        # A few operators compute in single precision, with parameters of their own.
        return _Linear.apply(self, layer, weights, bias, *(x.bfloat16() for x in inputs))

    def joined(self, layer: nn.Module, weights: Sequence[Tensor], columns: int) -> Tensor:
        """A layer's weights side by side, `[out, columns]`; of a candidate once for all passes."""
        if (known := self._joined.get(layer)) is None:
            known = self._joined[layer] = _side_by_side(weights, columns)
        return known


class _Linear(torch.autograd.Function):
    """`linear` as one product of all inputs side by side, recorded."""

    @staticmethod
    def forward(ctx, recorder: Recorder, layer: nn.Module, weights, bias, *inputs: Tensor) -> Tensor:
        widths = [item.shape[1] for item in inputs]
        x = inputs[0] if len(inputs) == 1 else _side_by_side(inputs, sum(widths) + -sum(widths) % PADDED)
        joined = recorder.joined(layer, weights, x.shape[1])
        ctx.recorder, ctx.layer, ctx.bias, ctx.widths = recorder, layer, bias, widths
        ctx.save_for_backward(x, joined)
        if bias is None:
            return torch.mm(x, joined.t())
        return torch.addmm(bias.bfloat16(), x, joined.t())

    @staticmethod
    def backward(ctx, delta: Tensor):
        (x, joined), by_batch = ctx.saved_tensors, ctx.recorder.by_batch
        deltas, xs = by_batch(delta), by_batch(x)
        rows, out, width = deltas.shape[1], deltas.shape[2], xs.shape[2]
        weights: list[Tensor] = [joined]
        gradients = [(deltas, xs) if rows * (out + width) < out * width else torch.bmm(deltas.transpose(1, 2), xs)]
        if ctx.bias is not None:
            # The sum over rows as a product, as torch's sums of bfloat16 are slow.
            ones = deltas.new_ones(1, 1, rows).expand(len(deltas), -1, -1)
            gradient, mask = torch.bmm(ones, deltas).float(), getattr(ctx.layer, "bias_mask", None)
            weights.append(ctx.bias.unsqueeze(0))
            gradients.append(gradient if mask is None else gradient * mask[: gradient.shape[-1]])
        ctx.recorder.record(ctx.layer, weights, gradients)
        # One product each, and not all together: parts of one would have gaps between their rows.
        of_inputs = joined[:, : sum(ctx.widths)].split(ctx.widths, dim=1)
        return None, None, None, None, *(torch.mm(delta, weight) for weight in of_inputs)


def _side_by_side(parts: Sequence[Tensor], columns: int) -> Tensor:
    """Matrices of as many rows in bfloat16, with columns of zeros at the end: `[rows, columns]`."""
    result = parts[0].new_empty((len(parts[0]), columns), dtype=torch.bfloat16)
    start = 0
    for part in parts:
        result[:, start : start + part.shape[1]] = part
        start += part.shape[1]
    result[:, start:] = 0
    return result
