"""Batch norm over the rows of all processes that learn from a step together (Ioffe and Szegedy 2015)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recnas.nn.processes import Processes

EPS, MOMENTUM = 1e-5, 0.1


class BatchNorm(nn.Module):
    """Subtracts each column's mean over the rows of a step and divides by its deviation: `[B, columns]`, the same.

    In training these are of the rows of all processes, of which each may have another number; running means of both
    count afterwards, and for a step of a single row.

    Args:
        columns: Number of columns.

    Attributes:
        processes: Those that learn together, where this process is not alone; see `share_statistics`.
    """

    processes: Processes | None = None

    def __init__(self, columns: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(columns)), nn.Parameter(torch.zeros(columns))
        self.register_buffer("running_mean", torch.zeros(columns))
        self.register_buffer("running_var", torch.ones(columns))

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return self._normed(x, training=False)
        if self.processes is None:
            return self._normed(x, training=len(x) > 1)
        rows = int(self.processes.sum(torch.tensor(len(x), device=x.device)))
        if rows < 2:
            return self._normed(x, training=False)
        mean = _SumOfAll.apply(x.sum(0), self.processes) / rows
        centred = x - mean
        var = _SumOfAll.apply(centred.square().sum(0), self.processes) / rows
        with torch.no_grad():
            self.running_mean.lerp_(mean, MOMENTUM)
            self.running_var.lerp_(var * (rows / (rows - 1)), MOMENTUM)
        return centred * (var + EPS).rsqrt() * self.weight + self.bias

    def _normed(self, x: Tensor, training: bool) -> Tensor:
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, training, MOMENTUM, EPS)


def share_statistics(network: nn.Module, processes: Processes) -> None:
    """Lets every batch norm of a network take the rows of all processes that train it together."""
    for module in network.modules():
        if isinstance(module, BatchNorm):
            module.processes = None if processes.alone else processes


class _SumOfAll(torch.autograd.Function):
    """The sum of a tensor of every process, in all of them; so is the gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, processes: Processes) -> Tensor:
        ctx.processes = processes
        return processes.sum(x.clone())

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return ctx.processes.sum(gradient.clone()), None
