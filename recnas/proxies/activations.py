"""Ways through a candidate's network other than scoring's: watched, with weights made positive, with random weights."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recnas.nn.elastic import NORM_EPS, WeightSlices


class StepwiseSlices(WeightSlices):
    """Computes attention step by step: fused kernels can be differentiated once, and torch's gives NaN where scores
    are so large that one rounding of them is more than `exp` takes."""

    def attention(self, packed: Tensor, heads: int) -> Tensor:
        query, key, value = (part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in packed.chunk(3, dim=-1))
        weights = torch.softmax(query @ key.transpose(-2, -1) * query.shape[-1] ** -0.5, dim=-1)
        return (weights @ value).transpose(1, 2).flatten(2)


class ActivationRecorder(StepwiseSlices):
    """Computes with the weights that a candidate inherits, so that it can be differentiated twice, and takes notes.

    Attributes:
        outputs: What every linear layer gave, `[rows, out]`, where each row of a batch has a whole number of rows.
        codes: For every ReLU, where it let something through, `[…]`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.outputs: list[Tensor] = []
        self.codes: list[Tensor] = []

    def linear(
        self, layer: nn.Module, inputs: Sequence[Tensor], weights: Sequence[Tensor], bias: Tensor | None
    ) -> Tensor:
        output = super().linear(layer, inputs, weights, bias)
        self.outputs.append(output)
        return output

    def relu(self, x: Tensor) -> Tensor:
        self.codes.append(x.detach() > 0)
        return super().relu(x)


class Positive(StepwiseSlices):
    """Computes with |θ| in double precision, and without norms, which would take the weights' size away."""

    def leaf(self, weights: Tensor) -> Tensor:
        return weights.abs().double()

    def norm(self, layer: nn.Module, x: Tensor, weight: Tensor, bias: Tensor, relu: bool) -> Tensor:
        # |θ| and positive inputs give nothing that a ReLU would hold back.
        return x


class LastInputs(WeightSlices):
    """Keeps what the last layer reads.

    Args:
        last: The last layer.

    Attributes:
        inputs: Its inputs side by side, `[B, columns]`.
        widths: How many columns each source has.
        weights: Its weights in the same order, `[columns]`, and
        bias: `[1]`.
    """

    def __init__(self, last: nn.Module) -> None:
        super().__init__()
        self.last = last
        self.inputs = self.weights = self.bias = torch.empty(0)
        self.widths: list[int] = []

    def linear(
        self, layer: nn.Module, inputs: Sequence[Tensor], weights: Sequence[Tensor], bias: Tensor | None
    ) -> Tensor:
        if layer is self.last:
            assert bias is not None, "the last layer has a bias"
            self.inputs, self.weights, self.bias = torch.cat(list(inputs), 1), torch.cat(list(weights), 1)[0], bias
            self.widths = [x.shape[1] for x in inputs]
        return super().linear(layer, inputs, weights, bias)


class Gaussian(LastInputs):
    """Computes with normally distributed weights, biases of 0 and norms without weights of their own.

    Args:
        last: The last layer.
        generator: Draws the weights.

    Attributes:
        log_scales: For every norm, the log of the root mean square of what it divides rows by.
    """

    def __init__(self, last: nn.Module, generator: torch.Generator) -> None:
        super().__init__(last)
        self.generator = generator
        self.log_scales: list[float] = []

    def leaf(self, weights: Tensor) -> Tensor:
        # Vectors are biases and norms' weights; the last layer's weights of columns too, which nothing here depends on.
        if weights.dim() == 1:
            return torch.zeros_like(weights)
        return torch.randn(weights.shape, generator=self.generator).to(weights)

    def norm(self, layer: nn.Module, x: Tensor, weight: Tensor, bias: Tensor, relu: bool) -> Tensor:
        self.log_scales.append(x.var(-1, unbiased=False).mean().log().item() / 2)
        normed = F.layer_norm(x, x.shape[-1:], eps=NORM_EPS)
        return self.relu(normed) if relu else normed
