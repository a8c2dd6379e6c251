"""The modules of the operators and mergers of a choice block (NASRec, Zhang et al. 2023, section 3.1).

Every operator of `recnas.space.operators` has a module here, which `build` finds by its name; one of a user's own has
it where its author says. All are made with the `Shapes` that candidates may meet, and called with `Read`, what one
candidate gives them. Branches are made with the stem's columns and the most layers, and called with the stem and a
candidate's layers.

Shapes: B rows, E columns of an embedding, dd columns of the dense output, ds fields of the sparse output. Dense tensors
are `[B, width]`. Sparse tensors are `[B, E, fields]`: with fields last, a linear layer over fields is one matrix
product and a layer norm over fields is a norm over the last axis. Inputs are pieces, one an earlier output; a sparse
one's fields come from one or two sources (its operators and, if on, its merger).
"""

from __future__ import annotations

from importlib import import_module

from torch import nn

from recnas.nn.operators.inputs import Inputs, Read, Shapes
from recnas.space.operators import BRANCHES, OPERATORS

__all__ = ["Inputs", "Read", "Shapes", "build", "build_branch", "submodule_name"]


def build(name: str, shapes: Shapes) -> nn.Module:
    """An operator with fresh weights for all that candidates may meet.

    Its `forward` takes a `Read`, the output's width and `WeightSlices`, and gives `[B, width]` or `[B, E, width]`.
    """
    return _module(OPERATORS[name].module)(shapes)


def build_branch(name: str, columns: int, layers: int) -> nn.Module:
    """A branch with fresh weights over the stem's columns, of so many layers at most.

    Its `forward` takes dense features `[B, d₀]`, fields `[B, n₀, E]`, a candidate's layers and `WeightSlices`, and
    gives `[B, columns]`.
    """
    return _module(BRANCHES[name].module)(columns, layers)


def submodule_name(name: str) -> str:
    """What an operator or a branch is called within a network, where names have no dots: those of modules have."""
    return name.replace(".", "/")


def _module(name: str) -> type[nn.Module]:
    module, _, kind = name.partition(":")
    return getattr(import_module(module), kind)
