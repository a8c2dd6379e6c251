"""Whole models: embeddings under a dense network. Every model, searched or baseline, is this class."""

from __future__ import annotations

import os

import torch
from torch import Tensor, nn

from recnas.data import Batch
from recnas.features.schema import Schema
from recnas.nn.elastic import WeightSlices
from recnas.nn.embeddings import Embeddings, WholeEmbeddings
from recnas.nn.network import EMBEDDING_DIM, ChoiceNetwork
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


class Supernet(CTRModel):
    """A model that holds the weights of every candidate of a search space.

    Args:
        schema: The features, with tables capped as the search wants them.
        embeddings: The tables, which all candidates share.
        space: The search space, whose candidates share these weights.
    """

    network: ChoiceNetwork

    def __init__(self, schema: Schema, embeddings: Embeddings, space: SearchSpace) -> None:
        super().__init__(schema, embeddings, ChoiceNetwork(space, schema.num_dense, schema.num_sparse, embeddings.dim))

    def forward(self, batch: Batch, arch: Architecture, slices: WeightSlices | None = None) -> Tensor:
        """Logits `[B]` of one candidate with the weights it inherits; see `ChoiceNetwork.forward`."""
        return self.network(batch.dense, self.embeddings(batch.sparse), arch, slices)

    def extract(self, arch: Architecture) -> CTRModel:
        """The candidate as a finished model of its own, with copies of the weights it inherits."""
        embeddings = WholeEmbeddings(self.schema, self.embeddings.dim)
        embeddings.load_tables(self.embeddings.tables())
        return CTRModel(self.schema, embeddings, self.network.extract(arch))


def sizes(schema: Schema) -> tuple[int, int, int]:
    """The sizes that `recnas.space.cost` needs: d₀, n₀ and E."""
    return schema.num_dense, schema.num_sparse, EMBEDDING_DIM


def searched_network(schema: Schema, arch: Architecture, dim: int = EMBEDDING_DIM) -> ChoiceNetwork:
    """The finished network of an architecture with fresh weights and no dead parts.

    Beside a branch that leads, all else starts with zero weights on the logit: a training begins with the branch, and
    blocks add what they learn. See `recnas.space.operators.Branch`.
    """
    network = ChoiceNetwork(SearchSpace.only(arch.canonical()), schema.num_dense, schema.num_sparse, dim)
    leading = {submodule_name(name) for name, _ in arch.branches if BRANCHES[name].leads}
    for source, weight in network.last.weight.items():
        if leading and source not in leading:
            nn.init.zeros_(weight)
    return network


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
