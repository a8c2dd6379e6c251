"""One baseline beside one public implementation: the same weights, the same rows."""

from __future__ import annotations

import importlib.util
import sys
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from recnas.candidates.network import Baseline
from recnas.features.feature import DenseFeature, SparseFeature
from recnas.features.number_field import NumberField
from recnas.features.schema import SPLITS, Schema
from recnas.nn.baselines.registry import find_baseline
from recnas.nn.batch_norm import BatchNorm
from recnas.nn.number_fields import NumberFields, inner_network

ROWS, NUM_DENSE, NUM_SPARSE, DIM, TABLE_ROWS = 64, 4, 6, 16, 20
DENSE = [f"d{index}" for index in range(NUM_DENSE)]
SPARSE = [f"s{index}" for index in range(NUM_SPARSE)]


@dataclass(frozen=True)
class Inputs:
    """Rows to predict, and what both implementations look up.

    Attributes:
        dense: `[B, d₀]`.
        ids: Table rows `[B, n₀]`.
        tables: Embeddings `[n₀, rows, E]`.
        weights: First-order weights `[n₀, rows]`.
        label: `[B]`.
        vectors: Of each number that is a field, `[d₀, E]`.
        number_weights: Of each number that is a field, its first-order weight, `[d₀]`.
    """

    dense: Tensor
    ids: Tensor
    tables: Tensor
    weights: Tensor
    label: Tensor
    vectors: Tensor | None = None
    number_weights: Tensor | None = None

    @classmethod
    def draw(cls, num_dense: int) -> Inputs:
        torch.manual_seed(1)
        return cls(
            torch.randn(ROWS, num_dense),
            torch.randint(TABLE_ROWS, (ROWS, NUM_SPARSE)),
            0.3 * torch.randn(NUM_SPARSE, TABLE_ROWS, DIM),
            0.3 * torch.randn(NUM_SPARSE, TABLE_ROWS),
            torch.randint(2, (ROWS,)).float(),
        )

    def with_numbers(self, numbers: NumberFields | None, dim: int) -> Inputs:
        """With what a network's fields of numbers are made of."""
        if numbers is None:
            return self
        return replace(self, vectors=numbers.vectors[:, :dim], number_weights=numbers.vectors[:, dim:])

    def fields(self, dim: int, first_order: bool) -> Tensor:
        """What our networks take: `[B, n₀, E]`, `[B, n₀, E + 1]` or `[B, n₀, 1]`."""
        place = torch.arange(NUM_SPARSE)
        parts = [self.tables[place, self.ids]] if dim else []
        return torch.cat([*parts, self.weights[place, self.ids].unsqueeze(-1)] if first_order else parts, dim=-1)

    def table_parameters(self, dim: int, first_order: bool) -> int:
        """One number a column of the tables that a model reads; a first-order weight counts as one."""
        return (self.tables.numel() if dim else 0) + (self.weights.numel() if first_order else 0)


@dataclass(frozen=True)
class Comparison:
    """One model beside one implementation; `excess` are the parameters of biases that do nothing."""

    model: str
    implementation: str
    ours: int
    theirs: int
    excess: int
    difference: float


@torch.no_grad()
def copy(pairs: Iterable[tuple[Tensor, Tensor]]) -> None:
    """Copies each first tensor's numbers over the second, in the second's shape."""
    for source, target in pairs:
        target.copy_(source.reshape(target.shape))


def linears(module: nn.Module) -> Iterator[nn.Linear]:
    """Its linear layers, in the order they were made."""
    return (layer for layer in module.modules() if isinstance(layer, nn.Linear))


def copy_linears(ours: nn.Module, theirs: nn.Module | Iterable[nn.Module]) -> None:
    """Copies linear layers one by one."""
    others = linears(theirs) if isinstance(theirs, nn.Module) else theirs
    for layer, other in zip(linears(ours), others, strict=True):
        copy([(layer.weight, other.weight)])
        if layer.bias is not None:
            copy([(layer.bias, other.bias)])


def count(*modules: nn.Module) -> int:
    return sum(item.numel() for module in modules for item in module.parameters() if item.requires_grad)


def schema(num_dense: int, as_fields: bool) -> Schema:
    """Of the rows: numbers as fields, or as columns."""
    return Schema(
        "y",
        tuple(DenseFeature(name, {"name": "none"}) for name in DENSE[:num_dense]),
        tuple(SparseFeature(name, TABLE_ROWS) for name in SPARSE),
        {split: {"rows": ROWS, "positives": 1} for split in SPLITS},
        number_fields=tuple(NumberField(name) for name in DENSE[:num_dense]) if as_fields else (),
        reads_columns=not as_fields,
    )


def compare(
    name: str,
    implementation: str,
    other: Callable[[nn.Module, Inputs], tuple[Tensor, int]],
    *,
    choices: Mapping[str, Any] | None = None,
    num_dense: int = NUM_DENSE,
    as_fields: bool = True,
    excess: int = 0,
    by_loss: bool = False,
) -> Comparison:
    """Makes our network, lets `other` copy its weights, and compares.

    Args:
        name: The family.
        implementation: The other's name.
        other: Our network and the rows → the other's logits and number of parameters.
        choices: Of the family.
        num_dense: Numbers among the features.
        as_fields: Whether they are fields, or columns.
        excess: Parameters of the other's biases that do nothing.
        by_loss: Whether `other` gives the loss that is minimised in the place of logits.
    """
    torch.manual_seed(0)
    spec, inputs, baseline = find_baseline(name), Inputs.draw(num_dense), Baseline(name, choices or {})
    network = spec.network(schema(num_dense, as_fields), baseline, dropout=0.0).train(by_loss)
    inner = inner_network(network)
    with torch.no_grad():
        for parameter in network.parameters():
            # No weight of zero hides a difference.
            parameter += 0.05 * torch.randn_like(parameter)
        for layer in network.modules():
            if isinstance(layer, BatchNorm):
                layer.running_mean.normal_(std=0.1)
                layer.running_var.uniform_(0.5, 1.5)
        dense = inputs.dense if num_dense else torch.zeros(ROWS, 1)
        theirs, parameters = other(inner, inputs.with_numbers(getattr(network, "numbers", None), spec.dim))
        ours = network(dense, inputs.fields(spec.dim, spec.first_order))
        if by_loss:
            ours = inner.training_loss(ours, inputs.label, lambda values: values.mean(-1))
    own = count(network) + inputs.table_parameters(spec.dim, spec.first_order)
    difference = (ours - theirs.reshape(ours.shape)).abs().max().item()
    return Comparison(name, implementation, own, parameters, excess, difference)


class StandIn(types.ModuleType):
    """A package in the place of one that a library imports for reading files or asking for its news."""

    __path__: list[str] = []  # noqa: RUF012

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return object


def stand_in(package: str, *inner: str) -> None:
    """Puts stand-ins for a package and modules of it where it is not installed."""
    if package not in sys.modules and importlib.util.find_spec(package) is None:
        sys.modules |= {name: StandIn(name) for name in (package, *inner)}
