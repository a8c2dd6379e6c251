"""Proxies that each need a pass of their own through the candidate's network."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from recnas.proxies.activations import ActivationRecorder, Gaussian, Positive
from recnas.proxies.declaration import proxy
from recnas.proxies.gradients import total
from recnas.proxies.inputs import ProxyInputs

DRAWS, DRAWN_ROWS, STEP = 4, 16, 1e-2
"""Zen: how often weights and rows are drawn, how many rows, and the length of the step between two of them."""


@proxy(direction="higher", weights="warm", reads="batches")
def grasp(inputs: ProxyInputs) -> float:
    """-θᵀHḡ, H the Hessian of the loss over all batches' rows (Wang et al. 2020; as a score, Abdelfattah et al. 2021).

    Weights of tables are left out, as H couples every row of them with the network; of the others, those of norms and
    biases count too, in the published code only matrices.
    """
    recorder = ActivationRecorder()
    loss = _loss(inputs, recorder)
    weights = [item.leaf for item in recorder.taken]
    gradients = torch.autograd.grad(loss, weights, create_graph=True, materialize_grads=True)
    square = sum((gradient * gradient.detach()).sum() for gradient in gradients)
    products = torch.autograd.grad(square, weights, materialize_grads=True)
    return -total((weight * product).sum().item() for weight, product in zip(weights, products, strict=True))


@proxy(direction="higher", weights="warm", reads="batches")
def fisher(inputs: ProxyInputs) -> float:
    """Σ over channels of linear layers' outputs a of ½ · mean over rows of (Σ a · ∂ℓ/∂a)², the inner sum over a
    channel's places (Theis et al. 2018; Turner et al. 2020; as a score, Abdelfattah et al. 2021).

    ℓ is the mean loss over all batches' rows, as in the published code. A layer over fields has its output fields as
    channels and the E dimensions of an embedding as places.
    """
    recorder = ActivationRecorder()
    loss = _loss(inputs, recorder)
    rows = inputs.batches.num_batch_rows
    gradients = torch.autograd.grad(loss, recorder.outputs, materialize_grads=True)
    total = 0.0
    for output, gradient in zip(recorder.outputs, gradients, strict=True):
        products = (output * gradient).detach().view(rows, -1, output.shape[-1]).sum(1)
        total += products.square().mean(0).sum().item() / 2
    return total


@proxy(direction="higher", weights="warm", reads="supernet")
def synflow(inputs: ProxyInputs) -> float:
    """Log of Σⱼ |θⱼ ∂R/∂θⱼ|, R the logit of the network with weights |θ|, inputs 1, and without norms (Tanaka et al.
    2020; as a score, Abdelfattah et al. 2021).

    Dot-Product and the FM merger multiply activations, so that R spans dozens of orders of magnitude: hence the log.
    Gating's sigmoid and attention's softmax stay; biases count as weights, in the published code they do not. Where
    even double precision overflows, the score is not finite, which is no score.
    """
    positive = Positive()
    network = inputs.supernet.network
    device = next(network.parameters()).device
    dense = torch.ones(1, network.num_dense, dtype=torch.float64, device=device)
    fields = torch.ones(1, network.num_sparse, network.dim, dtype=torch.float64, device=device)
    logit = network(dense, fields, inputs.arch, positive)
    return log_flow(logit, [item.leaf for item in positive.taken])


def log_flow(logit: Tensor, weights: Sequence[Tensor]) -> float:
    """Log of Σⱼ |θⱼ ∂R/∂θⱼ|, R a logit `[1]` of the weights θ."""
    gradients = torch.autograd.grad(logit.sum(), weights, materialize_grads=True)
    total = sum((weight * gradient).abs().sum().item() for weight, gradient in zip(weights, gradients, strict=True))
    return math.log(total) if total > 0 else -math.inf if total == 0 else math.nan


@proxy(direction="higher", weights="none", reads="supernet")
@torch.no_grad()
def zen(inputs: ProxyInputs) -> float:
    """Zen (Lin et al. 2021): log of the mean ‖f(x + αε) - f(x)‖₂ over rows x and steps ε, f being what the last layer
    reads, plus Σ over norms of the log of the scale that they take away; its mean over normally distributed weights.

    Published for batch norm, whose scale is one of a channel; layer norm's is the root mean variance of its rows. The
    published code takes ‖·‖₁, and the paper networks without residual links; attention keeps its own here. A cross
    network has no norms: its scale, which grows with its depth, stays in.
    """
    network = inputs.supernet.network
    device = next(network.parameters()).device
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).to(device)

    scores = []
    for _ in range(DRAWS):
        weights = Gaussian(network.last, generator)
        rows = draw(DRAWN_ROWS, network.num_dense), draw(DRAWN_ROWS, network.num_sparse, network.dim)
        network(*rows, inputs.arch, weights)
        before, scales = weights.inputs, total(weights.log_scales)
        network(*(item + STEP * draw(*item.shape) for item in rows), inputs.arch, weights)
        distance = (weights.inputs - before).norm(dim=1).mean().item()
        scores.append(math.log(distance) + scales if distance > 0 else -math.inf)
    return sum(scores) / DRAWS


def _loss(inputs: ProxyInputs, recorder: ActivationRecorder) -> Tensor:
    """The mean loss over the rows of all batches, in a graph."""
    dense, fields, label = inputs.batches.rows()
    logits = inputs.supernet.network(dense, fields.requires_grad_(), inputs.arch, recorder)
    return F.binary_cross_entropy_with_logits(logits, label)
