"""Networks that compute, from the values that say what they are: architectures and baselines."""

from __future__ import annotations

from torch import nn

from recnas.candidates.candidate import Candidate
from recnas.candidates.families import family_title, written
from recnas.candidates.network import Baseline, Network
from recnas.features.schema import Schema
from recnas.nn.baselines.profit import Profit
from recnas.nn.baselines.registry import imported_baseline
from recnas.nn.model import searched_network
from recnas.nn.network import EMBEDDING_DIM
from recnas.nn.number_fields import FedNetwork, count_number_macs, inner_network
from recnas.space import cost
from recnas.util.user_code import is_user_code


def build_network(
    network: Network,
    schema: Schema,
    dim: int | None = None,
    dropout: float | None = None,
    embedding_std: float | None = None,
) -> nn.Module:
    """A model's dense part, with fresh weights.

    Args:
        network: What it is.
        schema: The features.
        dim: Columns of the embeddings; None for those that it is published or searched with.
        dropout: Chance that what a hidden layer gives is set to zero in training; None for the network's own share.
        embedding_std: Standard deviation of embeddings at the start, for numbers that are fields; None: Xavier's.

    Raises:
        InputError: A baseline of a user's own has no such choice or value.
    """
    dim = embedding_dim(network) if dim is None else dim
    if isinstance(network, Baseline):
        made = imported_baseline(network.name).network(schema, network, dim, dropout)
    else:
        made = searched_network(schema, network, dim, dropout or 0.0)
    if embedding_std is not None and isinstance(made, FedNetwork) and made.numbers is not None:
        made.numbers.start(embedding_std)
    return made


def count_macs(network: Network, schema: Schema, dim: int | None = None) -> int:
    """Multiply–accumulates a row of its dense part; arguments as in `build_network`."""
    dim = embedding_dim(network) if dim is None else dim
    if isinstance(network, Baseline):
        return imported_baseline(network.name).macs(schema, network, dim)
    return cost.macs(network, max(1, schema.num_columns), schema.num_fields, dim) + count_number_macs(schema, dim)


def embedding_dim(network: Network) -> int:
    """Columns of the embeddings that it reads; 0 for none."""
    return imported_baseline(network.name).dim if isinstance(network, Baseline) else EMBEDDING_DIM


def dim_of(candidate: Candidate) -> int:
    """Columns of the embeddings that a candidate reads: its recipe's, or 0 for none."""
    return candidate.recipe.embedding_dim if embedding_dim(candidate.network) else 0


def reads_first_order(network: Network) -> bool:
    """Whether it reads a first-order weight of each table row."""
    return isinstance(network, Baseline) and imported_baseline(network.name).first_order


def searches_interactions(network: Network) -> bool:
    """Whether its interactions are searched before it is trained; see `recnas.train.interactions`."""
    return isinstance(network, Baseline) and issubclass(imported_baseline(network.name).make, Profit)


def network_of(module: nn.Module) -> Network:
    """What a finished network is.

    Raises:
        ValueError: It is neither an architecture's nor a baseline's.
    """
    network = inner_network(module)
    for known in (getattr(network, "architecture", None), getattr(network, "baseline", None)):
        if isinstance(known, Network):
            return known
    raise ValueError(f"{type(module).__name__} is neither a searched network nor a baseline")


def title_of(network: Network) -> str:
    """What a person calls it: DLRM, DCN-V2 (layers 2), or the architecture's id."""
    if not isinstance(network, Baseline):
        return network.id
    title = imported_baseline(network.name).title if is_user_code(network.name) else family_title(network.name)
    chosen = ", ".join(f"{key} {written(value)}" for key, value in network.choices)
    return f"{title} ({chosen})" if chosen else title
