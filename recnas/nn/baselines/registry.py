"""Every baseline by its name: what declares one, and what finds it.

A declaration stands above the class; docs/extend.md has a whole baseline of a user's own.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import TypeVar

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

import recnas.nn.baselines
from recnas.candidates.families import FAMILIES, check_family_name, family_title
from recnas.features.schema import Schema
from recnas.nn.network import EMBEDDING_DIM
from recnas.util.errors import InputError
from recnas.util.user_code import NotImportedError, import_user_code, is_user_code

Network = TypeVar("Network", bound=type[nn.Module])


@dataclass(frozen=True)
class BaselineSpec:
    """A baseline as it was declared, with its paper's settings.

    Attributes:
        name: Its name in settings.
        title: Its name in tables and reports.
        make: Gives the network with fresh weights, from the numbers of dense and sparse features and E.
        dim: Columns of the embeddings that it reads; 0 for none.
        first_order: Whether it reads a first-order weight of each table row.
        count: Multiply–accumulates a row of its matrix products, from the same as `make`; None: by a run of it.
    """

    name: str
    title: str
    make: type[nn.Module]
    dim: int
    first_order: bool
    count: Callable[[int, int, int], int] | None

    def network(self, schema: Schema, dim: int | None = None) -> nn.Module:
        """Its dense part, with fresh weights: dense features `[B, d₀]` and fields, as `Embeddings` says → `[B]`.

        Args:
            schema: The features.
            dim: Columns of the embeddings; None for `self.dim`.
        """
        return self.make(len(schema.dense), schema.num_sparse, self.dim if dim is None else dim)

    def macs(self, schema: Schema, dim: int | None = None) -> int:
        """Multiply–accumulates a row of its dense part, elementwise work left out; arguments as in `network`."""
        sizes = len(schema.dense), schema.num_sparse, self.dim if dim is None else dim
        return _count_by_running(self, *sizes) if self.count is None else self.count(*sizes)


_DECLARED: dict[str, BaselineSpec] = {}
"""Those whose modules have been imported, by name."""


def baseline(
    name: str | None = None,
    *,
    title: str | None = None,
    dim: int = EMBEDDING_DIM,
    first_order: bool = False,
    macs: Callable[[int, int, int], int] | None = None,
) -> Callable[[Network], Network]:
    """Declares a class as a baseline: a module made of the numbers of dense and sparse features and E, the dimension of
    embeddings; its `forward` takes dense features `[B, d₀]` and fields `[B, n₀, E]`, and gives logits `[B]`.

    Where a data set has no dense feature, d₀ is 0 and `forward` is given a column of zeros.

    Args:
        name: In `FAMILIES`, of a baseline of this package; None for one of your own, which is called `module:Class`.
        title: The name of one of your own in tables and reports; None for that of its class.
        dim: E. With 0 the fields have no embeddings.
        first_order: Whether the fields have one column more, the last: a weight of each table row.
        macs: Multiply–accumulates a row, from the same three numbers; None: they are counted by a run of it.
    """

    def declare(made: Network) -> Network:
        own = f"{made.__module__}:{made.__qualname__}"
        if name is not None and (name not in FAMILIES or made.__module__.rpartition(".")[0] != __package__):
            raise ValueError(f"{own}: names are for the baselines in {__package__}, listed in FAMILIES")
        called = name or own
        _DECLARED[called] = BaselineSpec(called, title or family_title(called), made, dim, first_order, macs)
        return made

    return declare


def find_baseline(name: str) -> BaselineSpec:
    """A baseline by its name. It imports the module of a user's own, so the name must be one that the user gave.

    Raises:
        InputError: There is none.
    """
    check_family_name(name)
    if name not in FAMILIES:
        import_user_code(name, "baseline")
        if name not in _DECLARED:
            raise InputError(f"baseline {name}: no class of that module that `@baseline()` declares")
    return imported_baseline(name)


def check_baselines(names: Sequence[str], schema: Schema) -> None:
    """Finds baselines before they are needed, which imports the modules of a user's own, and tries those.

    Args:
        names: The baselines.
        schema: The features that they will read.

    Raises:
        InputError: There is no such baseline, or it cannot read these features.
    """
    for name in names:
        spec = find_baseline(name)
        if is_user_code(name):
            _count_by_running(spec, len(schema.dense), schema.num_sparse, spec.dim)


def imported_baseline(name: str) -> BaselineSpec:
    """A baseline whose module has been imported, or that is part of recnas: what a file may name, whoever wrote it.

    Raises:
        InputError: There is none.
    """
    check_family_name(name)
    if name in FAMILIES and name not in _DECLARED:
        for module in pkgutil.iter_modules(recnas.nn.baselines.__path__):
            import_module(f"{__package__}.{module.name}")
    if name not in _DECLARED:
        raise NotImportedError(name)
    return _DECLARED[name]


def baseline_of(network: nn.Module) -> BaselineSpec | None:
    """The baseline that a network was declared as; None if it is none."""
    return next((spec for spec in _DECLARED.values() if spec.make is type(network)), None)


@cache
def _count_by_running(spec: BaselineSpec, num_dense: int, num_sparse: int, dim: int) -> int:
    """Multiply–accumulates a row of a baseline's matrix products, as torch counts them.

    Raises:
        InputError: It cannot be made for such features, or does not give a logit for each row.
    """

    def products(network: nn.Module, rows: int) -> int:
        dense = torch.zeros(rows, max(1, num_dense))
        fields = torch.zeros(rows, num_sparse, dim + spec.first_order)
        # The products of attention are counted only where they are computed one by one.
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            logits = network(dense, fields)
        if logits.shape != (rows,):
            raise ValueError(f"forward gives {list(logits.shape)} for {rows} rows, where [{rows}] is expected")
        return counter.get_total_flops() // 2

    try:
        with torch.random.fork_rng(devices=[]):
            network = spec.make(num_dense, num_sparse, dim).eval()
        # The difference leaves out what is done once a batch.
        return products(network, 3) - products(network, 2)
    except Exception as error:  # The class is the user's: what goes wrong in it is anything.
        reason = f"{type(error).__name__}: {error}"
        raise InputError(
            f"baseline {spec.name}: failed on {num_dense} dense and {num_sparse} sparse features ({reason})"
        ) from error
