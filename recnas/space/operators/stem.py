"""What branches of layers over the stem have in common when they are written out."""

from __future__ import annotations

from recnas.space.operators.base import BranchCode

STEM = "stem"
"""The source that a layer of a branch reads."""


def write_network(code: BranchCode, network: str, *sizes: int, inputs: str | None = None) -> None:
    """Writes the branch as one network of a helper's class.

    Args:
        code: What the branch writes itself out with.
        network: The class.
        sizes: What it is made of, before its number of layers.
        inputs: What it is called with, as an expression; None: the stem's columns.
    """
    code.use(network)
    code.layer(code.name, f"{network}({', '.join(map(str, (*sizes, code.depth)))})")
    code.step(f"{code.result} = self.{code.name}({code.stem if inputs is None else inputs})")


def take_linear(code: BranchCode, layer: int, part: str, bias: bool = False) -> None:
    """Takes the weights of one of a layer's linear parts, which the written network has in a list by the part's name.

    Args:
        code: What the branch writes itself out with.
        layer: Which layer, from 0.
        part: The name of the part.
        bias: Whether it has one.
    """
    code.take(f"{code.name}.{part}.{layer}.weight", f"layers.{layer}.{part}.weight.{STEM}")
    if bias:
        code.take(f"{code.name}.{part}.{layer}.bias", f"layers.{layer}.{part}.bias")
