"""What a proxy says of itself: which way it ranks, which weights and rows it uses. Needs no torch."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Generic, Literal, TypeVar, get_args

Inputs = TypeVar("Inputs")
"""What a proxy is a function of: `ProxyInputs`, which stands above this module."""

Direction = Literal["higher", "lower"]
Weights = Literal["none", "fresh", "warm"]
Reads = Literal["arch", "supernet", "losses", "gradients", "rows", "batches", "tuning", "training"]


@dataclass(frozen=True)
class Declaration:
    """What a proxy declares; the defaults are those of a function that declares nothing.

    Attributes:
        direction: Whether higher or lower values are better. A proxy that stands alone, without a sign, ranks this way.
        weights: Which weights of the supernet it uses: `none`, so that no warm-up changes it; `fresh` for one that
            is published for fresh weights, and uses warm ones only where a warm-up is asked for; `warm` for one
            that asks for a warm-up.
        reads: The attribute of `ProxyInputs` that it is a function of, of several the most expensive one. This tells
            what is to be prepared, what proxies share, and how long they take.
    """

    direction: Direction = "higher"
    weights: Weights = "warm"
    reads: Reads = "batches"

    def __post_init__(self) -> None:
        for name, known in (("direction", Direction), ("weights", Weights), ("reads", Reads)):
            if (value := getattr(self, name)) not in get_args(known):
                raise ValueError(f"{name} is {value!r}; a proxy declares one of {', '.join(get_args(known))}")

    @property
    def sign(self) -> int:
        """1 where higher is better, -1 where lower is."""
        return 1 if self.direction == "higher" else -1

    @property
    def inherits(self) -> bool:
        """Whether it uses weights of the supernet."""
        return self.weights != "none"

    @property
    def trains(self) -> bool:
        """Whether it trains something, so that it shares nothing with other proxies."""
        return self.reads in ("tuning", "training")

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


class Proxy(Generic[Inputs]):
    """A figure that is to tell, without training it, how good a candidate is.

    Args:
        function: Gives the figure. Its name and docstring are the proxy's.
        declaration: What the proxy says of itself.
    """

    def __init__(self, function: Callable[[Inputs], float], declaration: Declaration) -> None:
        functools.update_wrapper(self, function)
        self.function, self.declaration = function, declaration

    def __call__(self, inputs: Inputs) -> float:
        return self.function(inputs)


def proxy(
    *, direction: Direction, weights: Weights, reads: Reads = "batches"
) -> Callable[[Callable[[Inputs], float]], Proxy[Inputs]]:
    """Makes a function a proxy that declares how it is to be used; see `Declaration` for the arguments.

    Example:
        >>> @proxy(direction="lower", weights="none", reads="arch")
        ... def depth(inputs: ProxyInputs) -> float:
        ...     return float(len(inputs.arch.blocks))
    """
    declaration = Declaration(direction, weights, reads)
    return lambda function: Proxy(function, declaration)
