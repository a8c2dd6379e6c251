"""Whole models: embeddings under a dense network. Every model, searched or baseline, is this class."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from recnas.data import Batch, batch_of
from recnas.features.schema import Schema
from recnas.nn.elastic import WeightSlices
from recnas.nn.embeddings import Embeddings, WholeEmbeddings
from recnas.nn.network import EMBEDDING_DIM, ChoiceNetwork, LastLayer
from recnas.nn.number_fields import FedNetwork, is_fed
from recnas.nn.operators import submodule_name
from recnas.space import Architecture, SearchSpace
from recnas.space.operators import BRANCHES


class CTRModel(nn.Module):
    """Predicts clicks: `network(dense, embeddings(sparse))`.

    Args:
        schema: The features it takes and the size of its tables.
        embeddings: The module that turns sparse features into fields `[B, n₀, E]`.
        network: Dense features `[B, d₀]` and fields → logits `[B]`.
    """

    def __init__(self, schema: Schema, embeddings: Embeddings, network: nn.Module) -> None:
        super().__init__()
        self.schema, self.embeddings, self.network = schema, embeddings, network

    def forward(self, batch: Batch) -> Tensor:
        """Logits `[B]` of a batch; `torch.sigmoid` of them are the click probabilities."""
        return self.network(batch.dense, self.embeddings(batch.sparse))

    @property
    def schemas(self) -> list[Schema]:
        """What it is called with a batch of each of, one behind the other: of a single model its own."""
        return [self.schema]

    @torch.inference_mode()
    def predict(self, rows: Any) -> np.ndarray:
        """Click probabilities `[B]` float64 of raw rows, as `Schema.encode` takes them; of a model in evaluation mode.

        Raises:
            InputError: A value cannot be read.
        """
        batch = batch_of(self.schema.encode(rows), self.schema).to(next(self.parameters()).device)
        return torch.sigmoid(self(batch)).double().cpu().numpy()


class Supernet(CTRModel):
    """A model that holds the weights of every candidate of a search space.

    Args:
        schema: The features, with tables capped as the search wants them.
        embeddings: The tables, which all candidates share.
        space: The search space, whose candidates share these weights.
    """

    network: ChoiceNetwork | FedChoiceNetwork

    def __init__(self, schema: Schema, embeddings: Embeddings, space: SearchSpace) -> None:
        network = ChoiceNetwork(space, max(1, schema.num_columns), schema.num_fields, embeddings.dim)
        super().__init__(schema, embeddings, fed_choices(schema, network))

    def forward(self, batch: Batch, arch: Architecture, slices: WeightSlices | None = None) -> Tensor:
        """Logits `[B]` of one candidate with the weights it inherits; see `ChoiceNetwork.forward`."""
        return self.network(batch.dense, self.embeddings(batch.sparse), arch, slices)

    def extract(self, arch: Architecture) -> CTRModel:
        """The candidate as a finished model of its own, with copies of the weights it inherits."""
        embeddings = WholeEmbeddings(self.schema, self.embeddings.dim)
        embeddings.load_tables(self.embeddings.tables())
        return CTRModel(self.schema, embeddings, self.network.extract(arch))


def sizes(schema: Schema, dim: int = EMBEDDING_DIM) -> tuple[int, int, int]:
    """The sizes that `recnas.space.cost` needs, of what networks are given: columns, fields and E."""
    return max(1, schema.num_columns), schema.num_fields, dim


def searched_network(
    schema: Schema, arch: Architecture, dim: int = EMBEDDING_DIM, dropout: float = 0.0
) -> ChoiceNetwork | FedChoiceNetwork:
    """The finished network of an architecture with fresh weights and no dead parts.

    Beside a branch that leads, all else starts with zero weights on the logit: a training begins with the branch, and
    blocks add what they learn. See `recnas.space.operators.Branch`.

    Args:
        schema: The features.
        arch: The architecture.
        dim: Columns of an embedding, E.
        dropout: See `ChoiceNetwork`.
    """
    network = ChoiceNetwork(
        SearchSpace.only(arch.canonical()), max(1, schema.num_columns), schema.num_fields, dim, dropout
    )
    leading = {submodule_name(name) for name, _ in arch.branches if BRANCHES[name].leads}
    for source, weight in network.last.weight.items():
        if leading and source not in leading:
            nn.init.zeros_(weight)
    return fed_choices(schema, network)


class FedChoiceNetwork(FedNetwork):
    """A `ChoiceNetwork` behind what it is given; sizes are those of a batch."""

    network: ChoiceNetwork

    def __init__(self, schema: Schema, network: ChoiceNetwork) -> None:
        super().__init__(schema, network, network.dim)
        self.schema = schema

    @property
    def space(self) -> SearchSpace:
        """The candidates."""
        return self.network.space

    @property
    def architecture(self) -> Architecture | None:
        """Of a finished network."""
        return self.network.architecture

    @property
    def last(self) -> LastLayer:
        """The layer of the logit."""
        return self.network.last

    @property
    def num_dense(self) -> int:
        """Columns of a batch's dense part."""
        return self.schema.num_dense

    @property
    def num_sparse(self) -> int:
        """Embedded fields of a batch."""
        return self.schema.num_sparse

    @property
    def dim(self) -> int:
        """Columns of an embedding, E."""
        return self.network.dim

    @torch.no_grad()
    def extract(self, arch: Architecture) -> FedChoiceNetwork:
        """The finished network of a candidate, with a copy of the weights it inherits and nothing else."""
        finished = FedChoiceNetwork(self.schema, self.network.extract(arch))
        if self.numbers is not None:
            finished.numbers.load_state_dict(self.numbers.state_dict())
        return finished.to(next(self.parameters()).device)


def fed_choices(schema: Schema, network: ChoiceNetwork) -> ChoiceNetwork | FedChoiceNetwork:
    """A network behind a `FedChoiceNetwork` where it is given something else than a batch's columns and fields."""
    return FedChoiceNetwork(schema, network) if is_fed(schema) else network


def count_dense_parameters(model: CTRModel) -> int:
    """Parameters of the dense part; embedding tables are not counted."""
    return sum(parameter.numel() for parameter in model.network.parameters())


def default_device() -> torch.device:
    """The CPU, or the first CUDA device if there is one; of `torchrun`'s processes on a host each has its own."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    if "LOCAL_RANK" in os.environ:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    return torch.device("cuda", torch.cuda.current_device())
