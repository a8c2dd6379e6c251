"""Proxies of a whole candidate without a supernet: of its own network, with the weights that a training begins with.

Families of baselines have such a network as architectures have; each is fed its own inputs. What is measured are the
formulas of this room on other statistics: by plain autograd, as only choice blocks can be looked into on their way.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from recnas.candidates.candidate import Candidate
from recnas.nn.networks import build_network, dim_of, reads_first_order
from recnas.nn.number_fields import inner_network
from recnas.proxies import gradients, rows
from recnas.proxies.batches import FieldBatches, LookedUp, Lookups
from recnas.proxies.expression import SIGEO, Expression
from recnas.proxies.passes import log_flow
from recnas.proxies.row_statistics import ROWS, RowStatistics, row_statistics
from recnas.proxies.statistics import GradientStatistics, Tile, summed_up, table_gradients
from recnas.train.losses import HasTrainingLoss

BATCHES, BATCH_ROWS = 4, 64
"""Training rows that candidates are measured on."""


class FreshInputs:
    """What proxies are given of a candidate with fresh weights, dropout off: the same figures as of `ProxyInputs`.

    Its batch norms take their statistics from the rows of a batch, as in training. Of embedding tables only the rows
    that the batches touch are drawn, however large they are.

    Args:
        candidate: One with a network, not trees.
        lookups: Batches of what it is fed, in its own schema.
        seed: Of the weights.

    Raises:
        InputError: A baseline of a user's own cannot be made.
    """

    def __init__(self, candidate: Candidate, lookups: Lookups, seed: int) -> None:
        self.candidate, self.schema, self.dim = candidate, lookups.schema, dim_of(candidate)
        recipe = candidate.recipe
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.network = build_network(candidate.network, self.schema, self.dim, 0.0, recipe.embedding_std)
            tables = _fresh_rows(lookups, self.dim, recipe.embedding_std, reads_first_order(candidate.network))
        self.batches = FieldBatches(lookups, tables, lookups.pooled(torch.cat(tables)))

    @cached_property
    def gradients(self) -> GradientStatistics:
        """Statistics of the gradients of the training loss on every batch; fields of numbers are modules, too."""
        modules = _leaf_modules(self.network)
        weights = [weight for module in modules for weight in module]
        by_batch, row_gradients, losses = [], [], []
        for batch in self.batches.looked_up:
            fields = batch.fields.detach().requires_grad_()
            loss = _training_loss(self.network, self.network(batch.dense, fields), batch)
            *of_weights, of_fields = torch.autograd.grad(loss, [*weights, fields], materialize_grads=True)
            by_batch.append(of_weights)
            row_gradients.append(self.batches.row_gradients(batch, of_fields))
            losses.append(loss.item())
        # One weight after the other: of a large network all together are large.
        tiles = ((_tile(weight, [own.pop(0) for own in by_batch]) for weight in module) for module in modules)
        return summed_up(chain(tiles, table_gradients(self.batches, row_gradients)), losses)

    @property
    def losses(self) -> tuple[float, ...]:
        """The training loss on every batch."""
        return self.gradients.losses

    @cached_property
    def rows(self) -> RowStatistics:
        """How the candidate's logit depends on each of the first `ROWS` rows."""
        dense, fields, label = self.batches.rows(ROWS)
        inputs = [dense.requires_grad_(), fields.requires_grad_()]
        with _OpenReLUs(len(label)) as opened:
            logits = self.network(*inputs)
        # Networks that learn by a loss of their own may give several.
        return row_statistics(logits.reshape(-1, len(label)).mean(0), inputs, opened.codes, label)

    def flow(self) -> float:
        """`synflow` of the network: with |θ| in double precision, without norms, and inputs of ones."""
        batch = self.batches.looked_up[0]
        ones = (torch.ones(1, *item.shape[1:], dtype=torch.float64) for item in (batch.dense, batch.fields))
        weights = {
            name: weight.detach().abs().double().requires_grad_() for name, weight in self.network.named_parameters()
        }
        buffers = {
            name: item.double() if item.is_floating_point() else item for name, item in self.network.named_buffers()
        }
        self.network.eval()
        try:
            with _WithoutNorms():
                logit = functional_call(self.network, weights | buffers, tuple(ones))
        finally:
            self.network.train()
        return log_flow(logit, list(weights.values()))


def _sigeo(inputs: FreshInputs) -> float:
    expression = Expression.parse(SIGEO, warmup=0)
    return expression.score({name: proxy(inputs) for name, proxy in expression.proxies.items()})


MEASURED: Mapping[str, Callable[[FreshInputs], float]] = {
    SIGEO: _sigeo,
    "zico": gradients.zico,
    "jacov": rows.jacov,
    "naswot": rows.naswot,
    "grad_norm": gradients.grad_norm,
    "synflow": FreshInputs.flow,
    "parameters": lambda inputs: sum(weight.numel() for weight in inputs.network.parameters()),
}
"""What is measured of a candidate, by name; SiGeo without the loss, which says nothing before a training."""


def measure_fresh(candidate: Candidate, lookups: Lookups, seed: int, names: Sequence[str]) -> dict[str, float]:
    """What proxies give a candidate; NaN where one fails, or where it is not a finite number.

    Args:
        candidate: See `FreshInputs`.
        lookups: See `FreshInputs`.
        seed: See `FreshInputs`.
        names: Of `MEASURED`.
    """
    found = dict.fromkeys(names, math.nan)
    # What goes wrong is anything: a network may be the user's own, and of some matrices there are no eigenvalues.
    with suppress(Exception):
        inputs = FreshInputs(candidate, lookups, seed)
        for name in names:
            with suppress(Exception):
                value = float(MEASURED[name](inputs))
                found[name] = value if math.isfinite(value) else math.nan
    return found


def _fresh_rows(lookups: Lookups, dim: int, std: float | None, first_order: bool) -> list[Tensor]:
    """The touched rows of every table, as `Embeddings` begin: `[rows, E]`, and a first-order weight of zero."""
    tables = []
    for feature, (_, places) in zip(lookups.schema.sparse, lookups.tables, strict=True):
        deviation = (2 / (feature.rows + dim)) ** 0.5 if std is None else std
        drawn = torch.randn(len(places), dim) * deviation
        if feature.rows - 2 == feature.shared_id:
            drawn[places == feature.rows - 1] = 0
        tables.append(F.pad(drawn, (0, int(first_order))))
    return tables


def _leaf_modules(network: nn.Module) -> list[list[nn.Parameter]]:
    """The parameters of each layer, weight and bias together; an elastic layer's weights are in a dictionary."""
    modules = []
    for module in network.modules():
        if isinstance(module, nn.ParameterDict | nn.ParameterList):
            continue
        parts = [child for child in module.children() if isinstance(child, nn.ParameterDict | nn.ParameterList)]
        own = [weight for part in (*parts, module) for weight in part.parameters(recurse=False)]
        if own:
            modules.append(own)
    return modules


def _training_loss(network: nn.Module, logits: Tensor, batch: LookedUp) -> Tensor:
    own = inner_network(network)
    if isinstance(own, HasTrainingLoss):
        return own.training_loss(logits, batch.label, lambda values: values.mean(-1))
    return F.binary_cross_entropy_with_logits(logits, batch.label)


def _tile(weight: Tensor, gradients: Sequence[Tensor]) -> Tile:
    """A weight's gradients as `[batches, rows, n]`, and the weight as `[rows, n]`."""
    width = weight.shape[-1]
    return torch.stack(list(gradients)).reshape(len(gradients), -1, width), weight.detach().reshape(-1, width)


class _OpenReLUs(TorchFunctionMode):
    """Takes notes of every ReLU over rows, in whatever network.

    Args:
        num_rows: Rows that go through the network.

    Attributes:
        codes: Where it let something through, `[rows, …]`.
    """

    def __init__(self, num_rows: int) -> None:
        super().__init__()
        self.num_rows, self.codes = num_rows, []

    def __torch_function__(self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func in (F.relu, torch.relu, Tensor.relu) and len(result) == self.num_rows:
            self.codes.append(result.detach() > 0)
        return result


class _WithoutNorms(TorchFunctionMode):
    """Leaves norms out, which would take the weights' size away."""

    def __torch_function__(self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        if func in (F.layer_norm, F.batch_norm):
            return args[0]
        return func(*args, **(kwargs or {}))
