"""The optimiser of a model's dense part, as a recipe says, and its state by the names of the parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from recnas.candidates.recipe import Optimization

FACTOR = "factor"
"""The key of a group of parameters under which stands what their learning rate is multiplied by."""
STEP = "step"


def dense_optimizer(
    by_factor: Mapping[float, Sequence[nn.Parameter]], optimization: Optimization
) -> torch.optim.Optimizer:
    """The optimiser of a dense part, with a rate of 0 and its state in place.

    Args:
        by_factor: The parameters by what their learning rate is multiplied by.
        optimization: What it is.
    """
    kinds = {"adagrad": torch.optim.Adagrad, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    optimizer = kinds[optimization.optimizer](
        [{"params": list(parameters), FACTOR: factor} for factor, parameters in by_factor.items()],
        lr=0.0,
        eps=optimization.dense_eps,
        weight_decay=optimization.weight_decay,
        fused=True,
    )
    if optimization.optimizer != "adagrad":
        # Adam makes its state at the first step; one that is restored is written over what is there.
        for parameters in by_factor.values():
            for parameter in parameters:
                optimizer.state[parameter] = {
                    STEP: torch.zeros((), dtype=torch.float32, device=parameter.device),
                    "exp_avg": torch.zeros_like(parameter),
                    "exp_avg_sq": torch.zeros_like(parameter),
                }
    return optimizer


def set_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Sets the learning rate of all parameters, each times its factor."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group[FACTOR]


def dense_state(optimizer: torch.optim.Optimizer, named: Mapping[str, nn.Parameter]) -> dict[str, Tensor]:
    """The state of a dense part's optimiser, sharing memory with the live one.

    Args:
        optimizer: Of `dense_optimizer`.
        named: The parameters by name.

    Returns:
        Adagrad's sums under the parameters' names; Adam's moments and steps under these, a dot and their own.
    """
    found: dict[str, Tensor] = {}
    for name, parameter in named.items():
        state = optimizer.state[parameter]
        if isinstance(optimizer, torch.optim.Adagrad):
            found[name] = state["sum"]
        else:
            found |= {f"{name}.{key}": state[key] for key in (STEP, "exp_avg", "exp_avg_sq")}
    return found
