"""Proxies that train something: a candidate's last layer, or all of it for a short while."""

from __future__ import annotations

from recnas.proxies.declaration import proxy
from recnas.proxies.inputs import ProxyInputs
from recnas.proxies.tuning import tune_last_layer


@proxy(direction="lower", weights="warm", reads="tuning")
def one_shot(inputs: ProxyInputs) -> float:
    """Validation log loss after fine-tuning the last layer; lower is better (Zhang et al. 2023, section 4.2)."""
    tuning = inputs.tuning
    assert tuning is not None, "nothing to tune on"
    return tune_last_layer(inputs.supernet, inputs.arch, tuning)


@proxy(direction="lower", weights="none", reads="training")
def short_training(inputs: ProxyInputs) -> float:
    """Log loss at the end of a short training from scratch; lower is better. Inherits nothing."""
    assert inputs.training is not None, "nothing to train on"
    return inputs.training.log_loss(inputs.arch)
