"""The dense part's optimisers: those of torch, with a state that can be written down and restored."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from recnas.candidates.recipe import OPTIMIZERS, Optimization
from recnas.train.optimizers import dense_optimizer, dense_state, set_rate


def made(optimization: Optimization) -> tuple[nn.Linear, torch.optim.Optimizer]:
    torch.manual_seed(0)
    layer = nn.Linear(3, 2)
    return layer, dense_optimizer({0.5: [layer.weight], 1.0: [layer.bias]}, optimization)


def step(layer: nn.Linear, optimizer: torch.optim.Optimizer, seed: int) -> None:
    rows = torch.randn(4, 3, generator=torch.Generator().manual_seed(seed))
    set_rate(optimizer, 0.1)
    layer(rows).square().mean().backward()
    optimizer.step()
    optimizer.zero_grad()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_it_learns_as_torch_does(name: str) -> None:
    optimization = Optimization(0.1, 4, optimizer=name, weight_decay=0.01)
    layer, optimizer = made(optimization)
    expected, _ = made(optimization)
    kind = {"adagrad": torch.optim.Adagrad, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[name]
    groups = [{"params": [expected.weight], "lr": 0.05}, {"params": [expected.bias], "lr": 0.1}]
    plain = kind(groups, eps=optimization.dense_eps, weight_decay=0.01)
    for seed in range(5):
        step(layer, optimizer, seed)
        expected(torch.randn(4, 3, generator=torch.Generator().manual_seed(seed))).square().mean().backward()
        plain.step()
        plain.zero_grad()
    torch.testing.assert_close(layer.weight, expected.weight)
    torch.testing.assert_close(layer.bias, expected.bias)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_restored_state_learns_on_as_if_it_had_never_stopped(name: str) -> None:
    optimization = Optimization(0.1, 4, optimizer=name)
    layer, optimizer = made(optimization)
    step(layer, optimizer, 0)
    weights = {key: value.clone() for key, value in layer.state_dict().items()}
    state = {key: value.clone() for key, value in dense_state(optimizer, dict(layer.named_parameters())).items()}
    step(layer, optimizer, 1)
    again, other = made(optimization)
    again.load_state_dict(weights)
    for key, value in dense_state(other, dict(again.named_parameters())).items():
        value.copy_(state[key])
    step(again, other, 1)
    assert torch.equal(layer.weight, again.weight)
    assert torch.equal(layer.bias, again.bias)
