"""Proxies that are counted from the architecture alone."""

from __future__ import annotations

from recnas.nn.model import sizes
from recnas.proxies.declaration import proxy
from recnas.proxies.inputs import ProxyInputs
from recnas.space import cost


@proxy(direction="higher", weights="none", reads="arch")
def parameters(inputs: ProxyInputs) -> float:
    """Dense parameters that reach the logit."""
    return cost.parameters(inputs.arch, *sizes(inputs.schema, inputs.dim))


@proxy(direction="higher", weights="none", reads="arch")
def macs(inputs: ProxyInputs) -> float:
    """Multiply–accumulates a row of all matrix products that reach the logit."""
    return cost.macs(inputs.arch, *sizes(inputs.schema, inputs.dim))
