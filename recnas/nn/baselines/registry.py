"""Every baseline by its name: what declares one, and what finds it.

A declaration stands above the class; docs/extend.md has a whole baseline of a user's own.
"""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import NamedTuple, TypeVar

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

import recnas.nn.baselines
from recnas.candidates.families import FAMILIES, Choice, check_family_name, family_title, with_defaults
from recnas.candidates.network import Baseline
from recnas.features.schema import Schema
from recnas.nn.network import EMBEDDING_DIM
from recnas.nn.number_fields import count_number_macs, fed
from recnas.util.errors import InputError
from recnas.util.user_code import NotImportedError, import_user_code, is_user_code

Network = TypeVar("Network", bound=type[nn.Module])


@dataclass(frozen=True, eq=False)
class BaselineSpec:
    """A family of baselines as it was declared.

    Attributes:
        name: Its name in settings.
        title: Its name in tables and reports.
        make: Gives the network with fresh weights.
        dim: Columns of the embeddings that it is published with; 0 where it reads none.
        first_order: Whether it reads a first-order weight of each field.
        choices: What it leaves to be chosen, as in `Family`.
    """

    name: str
    title: str
    make: type[nn.Module]
    dim: int
    first_order: bool
    choices: Mapping[str, tuple[Choice, ...]]

    @property
    def has_dropout(self) -> bool:
        """Whether its share of dropout can be said."""
        return "dropout" in inspect.signature(self.make).parameters

    def network(
        self,
        schema: Schema,
        baseline: Baseline | None = None,
        dim: int | None = None,
        dropout: float | None = None,
    ) -> nn.Module:
        """A dense part with fresh weights: dense features `[B, d]` and embedded fields, as `Embeddings` says → `[B]`.

        Args:
            schema: The features.
            baseline: The family with its choices; None for the default ones.
            dim: Columns of the embeddings; None for `self.dim`.
            dropout: Of what has some; None for the share that it is published with.

        Raises:
            InputError: There is no such choice or value.
        """
        baseline, dim = baseline or Baseline(self.name), self.dim if dim is None else dim
        return fed(schema, self._made(_Sizes.of(schema, dim), baseline, dropout), dim, self.first_order)

    def macs(self, schema: Schema, baseline: Baseline | None = None, dim: int | None = None) -> int:
        """Multiply–accumulates a row of its dense part, elementwise work left out; arguments as in `network`."""
        baseline, dim = baseline or Baseline(self.name), self.dim if dim is None else dim
        numbers = count_number_macs(schema, dim + self.first_order)
        return _count(self, baseline, _Sizes.of(schema, dim)) + numbers

    def check(self, schema: Schema, baseline: Baseline | None = None) -> None:
        """Tries a baseline of a user's own.

        Raises:
            InputError: It cannot be made for such features, or does not give a logit for each row.
        """
        if is_user_code(self.name):
            _count(self, baseline or Baseline(self.name), _Sizes.of(schema, self.dim))

    def chosen(self, baseline: Baseline) -> dict[str, Choice]:
        """A value for every choice of the family.

        Raises:
            InputError: There is no such choice or value.
        """
        return with_defaults(self.name, self.choices, dict(baseline.choices))

    def _made(self, sizes: _Sizes, baseline: Baseline, dropout: float | None = None) -> nn.Module:
        shares = {"dropout": dropout} if dropout is not None and self.has_dropout else {}
        network = self.make(sizes.num_dense, sizes.num_fields, sizes.dim, **shares, **self.chosen(baseline))
        network.baseline = baseline
        return network


class _Sizes(NamedTuple):
    """What networks are made for: columns and fields that they are given, and E."""

    num_dense: int
    num_fields: int
    dim: int

    @classmethod
    def of(cls, schema: Schema, dim: int) -> _Sizes:
        return cls(schema.num_columns, schema.num_fields, dim)


_DECLARED: dict[str, BaselineSpec] = {}
"""Those whose modules have been imported, by name."""


def baseline(
    name: str | None = None,
    *,
    title: str | None = None,
    dim: int = EMBEDDING_DIM,
    first_order: bool = False,
    choices: Mapping[str, tuple[Choice, ...]] | None = None,
) -> Callable[[Network], Network]:
    """Declares a class as a family of baselines: a module made of the numbers of columns and of fields and E, the
    dimension of embeddings; its `forward` takes columns `[B, d₀]` and fields `[B, m, E]`, and gives logits `[B]`.

    Where there is no column, d₀ is 0 and `forward` is given one of zeros. A class that takes `dropout` is given the
    recipe's share where that says one, and each of its choices by name. One that has a `training_loss` learns by that
    (`recnas.train.losses`), and its `forward` may give more than one row of logits in training.

    Args:
        name: In `FAMILIES`, of a family of this package; None for one of your own, which is called `module:Class`.
        title: The name of one of your own in tables and reports; None for that of its class.
        dim: E. With 0 the fields have no embeddings.
        first_order: Whether the fields have one column more, the last: a first-order weight.
        choices: Of one of your own: by the name of each choice its values, the default first.
    """

    def declare(made: Network) -> Network:
        own = f"{made.__module__}:{made.__qualname__}"
        if name is not None and (name not in FAMILIES or made.__module__.rpartition(".")[0] != __package__):
            raise ValueError(f"{own}: names are for the baselines in {__package__}, listed in FAMILIES")
        called = name or own
        table = FAMILIES[name].choices if name is not None else choices or {}
        _DECLARED[called] = BaselineSpec(called, title or family_title(called), made, dim, first_order, table)
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
        find_baseline(name).check(schema)


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


@cache
def _count(spec: BaselineSpec, baseline: Baseline, sizes: _Sizes) -> int:
    """Multiply–accumulates a row of a baseline's matrix products, as torch counts them.

    A user's own network is really run; of one of this package only the shapes are followed.

    Raises:
        InputError: It cannot be made for such features, or does not give a logit for each row.
    """

    def products(network: nn.Module, rows: int) -> int:
        dense = torch.zeros(rows, max(1, sizes.num_dense))
        fields = torch.zeros(rows, sizes.num_fields, sizes.dim + spec.first_order)
        # The products of attention are counted only where they are computed one by one.
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            logits = network(dense, fields)
        if logits.shape != (rows,):
            raise ValueError(f"forward gives {list(logits.shape)} for {rows} rows, where [{rows}] is expected")
        return counter.get_total_flops() // 2

    try:
        with torch.random.fork_rng(devices=[]), torch.device("cpu" if is_user_code(spec.name) else "meta"):
            network = spec._made(sizes, baseline).eval()
            # The difference leaves out what is done once a batch.
            return products(network, 3) - products(network, 2)
    except InputError:
        raise
    except Exception as error:  # The class is the user's: what goes wrong in it is anything.
        reason = f"{type(error).__name__}: {error}"
        raise InputError(
            f"baseline {spec.name}: failed on {sizes.num_dense} columns and {sizes.num_fields} fields ({reason})"
        ) from error
