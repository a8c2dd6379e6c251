"""Embedding tables: TorchRec's, sharded with a fused optimiser for training, or whole for inference."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Mapping

import torch
import torch.distributed as dist
from fbgemm_gpu.split_embedding_configs import EmbOptimType
from torch import Tensor, nn
from torchrec import EmbeddingBagCollection, EmbeddingBagConfig, KeyedJaggedTensor, KeyedTensor, PoolingType
from torchrec.distributed import DistributedModelParallel
from torchrec.distributed.embedding_types import EmbeddingComputeKernel, ShardingType
from torchrec.distributed.embeddingbag import EmbeddingBagCollectionSharder
from torchrec.distributed.planner import EmbeddingShardingPlanner, ParameterConstraints, Topology
from torchrec.distributed.planner.storage_reservations import FixedPercentageStorageReservation

from recnas.nn.embedding_optimizer import EmbeddingOptimizer
from recnas.schema import Schema

OPTIMIZERS = {
    "rowwise-adagrad": EmbOptimType.EXACT_ROWWISE_ADAGRAD,
    "adagrad": EmbOptimType.EXACT_ADAGRAD,
}
"""FBGEMM's name of each fused optimiser."""


# TorchRec asks torch.fx whether it is tracing in a way that torch remarks on, once per process.
logging.getLogger("torch.fx._symbolic_trace").setLevel(logging.ERROR)

FUSED, FUSED_UVM_CACHING = EmbeddingComputeKernel.FUSED, EmbeddingComputeKernel.FUSED_UVM_CACHING

WEIGHT_COLUMNS = 4
"""Columns that hold a row's first-order weight: FBGEMM takes widths of a multiple of four only.

The weight is their mean. They start alike and get the same gradient, so they stay alike, and Adagrad, row-wise or not,
moves the mean exactly as it would move a single column, with an eps of four times the size.
"""


class Embeddings(nn.Module):
    """One embedding table per sparse feature, looked up and pooled: `KeyedJaggedTensor` → fields `[B, n₀, E]`.

    Subclasses differ in who holds the tables. Tables start Xavier-normal, first-order weights at zero.

    Args:
        schema: The sparse features, with the rows and pooling of their tables.
        dim: E; 0 for first-order weights alone.
        first_order: Whether each row has a first-order weight too, as linear models and factorisation machines want
            it, in a table of its own: fields are then `[B, n₀, E + 1]`, and their last column is the weight.
    """

    collection: nn.Module

    def __init__(self, schema: Schema, dim: int, first_order: bool = False) -> None:
        super().__init__()
        self.dim, self.first_order = dim, first_order
        self.features = [feature.name for feature in schema.sparse]

    def _names(self, first_order: bool) -> dict[str, str]:
        """The name of each feature's table in the collection; none if there are no tables of that kind."""
        if not (self.first_order if first_order else self.dim):
            return {}
        # A column may have any name, a parameter's name has no dots.
        return {name: f"{'weight' if first_order else 'table'}_{index}" for index, name in enumerate(self.features)}

    def _configs(self, schema: Schema) -> list[EmbeddingBagConfig]:
        return [
            EmbeddingBagConfig(
                name=names[feature.name],
                num_embeddings=feature.rows,
                embedding_dim=columns,
                feature_names=[feature.name],
                pooling=PoolingType.MEAN if feature.pooling == "mean" else PoolingType.SUM,
                init_fn=start,
            )
            for names, columns, start in (
                (self._names(first_order=False), self.dim, nn.init.xavier_normal_),
                (self._names(first_order=True), WEIGHT_COLUMNS, nn.init.zeros_),
            )
            if names
            for feature in schema.sparse
        ]

    def forward(self, sparse: KeyedJaggedTensor) -> Tensor:
        """Looks up and pools: n₀ keys, B rows → `[B, n₀, E]`, or `[B, n₀, E + 1]`, in the schema's order."""
        looked_up = self.collection(sparse)
        pooled: KeyedTensor = looked_up if isinstance(looked_up, KeyedTensor) else looked_up.wait()
        if self.first_order:
            return self._with_weights(pooled)
        fields = pooled.values().unflatten(1, (len(self.features), self.dim))
        if (keys := pooled.keys()) != self.features:
            fields = fields[:, [keys.index(name) for name in self.features]]
        return fields

    def _with_weights(self, pooled: KeyedTensor) -> Tensor:
        by_key = pooled.to_dict()

        def stacked(first_order: bool) -> Tensor:
            # Where a feature has two tables, TorchRec tells them apart so.
            names = self._names(first_order).items()
            return torch.stack([by_key[f"{name}@{table}" if self.dim else name] for name, table in names], dim=1)

        weights = stacked(first_order=True).mean(-1, keepdim=True)
        return torch.cat([stacked(first_order=False), weights], dim=-1) if self.dim else weights

    def tables(self, first_order: bool = False) -> dict[str, Tensor]:
        """Each feature's table, sharing memory with the live one; none if there are no tables of that kind.

        Args:
            first_order: The tables of first-order weights, `[rows, 4]` with equal columns; else those of embeddings,
                `[rows, E]`.
        """
        raise NotImplementedError

    @torch.no_grad()
    def load_tables(self, tables: Mapping[str, Tensor]) -> None:
        """Copies tables, by feature name, over the present ones."""
        for name, table in self.tables().items():
            table.copy_(tables[name])


class WholeEmbeddings(Embeddings):
    """Tables held in this process as ordinary parameters, for inference and for exact comparisons."""

    def __init__(self, schema: Schema, dim: int, device: torch.device | str = "cpu", first_order: bool = False) -> None:
        super().__init__(schema, dim, first_order)
        self.collection = EmbeddingBagCollection(tables=self._configs(schema), device=torch.device(device))

    def tables(self, first_order: bool = False) -> dict[str, Tensor]:
        bags = self.collection.embedding_bags
        return {name: bags[table].weight.detach() for name, table in self._names(first_order).items()}


class ShardedEmbeddings(Embeddings):
    """Tables placed by TorchRec's planner and trained inside `backward` by its fused optimiser.

    Args:
        schema: As in `Embeddings`.
        dim: As in `Embeddings`.
        optimizer: Which fused optimiser.
        device: Where this process's shards are.
        first_order: As in `Embeddings`.
    """

    def __init__(
        self,
        schema: Schema,
        dim: int,
        optimizer: EmbeddingOptimizer | None = None,
        device: torch.device | str = "cpu",
        first_order: bool = False,
    ) -> None:
        super().__init__(schema, dim, first_order)
        device, optimizer = torch.device(device), optimizer or EmbeddingOptimizer()
        ensure_process_group(device)
        sharder = EmbeddingBagCollectionSharder(
            fused_params={"optimizer": OPTIMIZERS[optimizer.name], "learning_rate": 0.0, "eps": optimizer.eps}
        )
        configs = self._configs(schema)
        collection = EmbeddingBagCollection(tables=configs, device=torch.device("meta"))
        with _quiet_planner():
            # A table of a few rows would be planned data-parallel, which no fused optimiser trains.
            kernels = [FUSED.value] if device.type == "cpu" else [FUSED.value, FUSED_UVM_CACHING.value]
            # One process has nothing to split, and looking at all ways of splitting takes seconds.
            ways = [ShardingType.TABLE_WISE.value] if dist.get_world_size() == 1 else None
            planner = EmbeddingShardingPlanner(
                topology=Topology(world_size=dist.get_world_size(), compute_device=device.type),
                constraints={
                    config.name: ParameterConstraints(sharding_types=ways, compute_kernels=kernels)
                    for config in configs
                },
                storage_reservation=FixedPercentageStorageReservation(percentage=0.15),
            )
            plan = planner.collective_plan(collection, [sharder], dist.GroupMember.WORLD)
            self.collection = DistributedModelParallel(collection, device=device, plan=plan, sharders=[sharder])

    def set_learning_rate(self, lr: float) -> None:
        """Sets the fused optimiser's learning rate for lookups made from now on.

        The rate that an update uses is the one at the time of its lookup, so this comes before the forward pass.
        """
        for group in self.collection.fused_optimizer.param_groups:
            group["lr"] = lr
        self.collection.fused_optimizer.step()

    def tables(self, first_order: bool = False) -> dict[str, Tensor]:
        state = self.collection.state_dict()
        names = self._names(first_order)
        return {name: _whole(state[f"embedding_bags.{table}.weight"]) for name, table in names.items()}

    def optimizer_state(self, first_order: bool = False) -> dict[str, Tensor]:
        """Each feature's running sums of squared gradients, sharing memory with the live ones; see `tables`."""
        state = self.collection.fused_optimizer.state_dict()["state"]
        return {
            name: _whole(state[f"embedding_bags.{table}.weight"][f"{table}.momentum1"])
            for name, table in self._names(first_order).items()
        }


def ensure_process_group(device: torch.device) -> None:
    """Joins the processes that `torchrun` started, or, without it, makes a group of this one process alone."""
    if dist.is_initialized():
        return
    backend = "nccl" if device.type == "cuda" else "gloo"
    if "WORLD_SIZE" in os.environ and "RANK" in os.environ:
        dist.init_process_group(backend)
    else:
        # A store inside the process: no port is opened.
        dist.init_process_group(backend, store=dist.HashStore(), rank=0, world_size=1)


def _whole(shard: Tensor) -> Tensor:
    """The one local shard of a table that is not split."""
    if not hasattr(shard, "local_shards"):
        return shard.detach()
    shards = shard.local_shards()
    if len(shards) != 1 or len(shard.metadata().shards_metadata) != 1:
        raise ValueError("the table is split over several shards")
    return shards[0].tensor


class _quiet_planner:
    """Keeps the planner's remarks on topologies of many hosts from a user of one process; errors still show."""

    def __enter__(self) -> None:
        self._warnings = warnings.catch_warnings()
        self._warnings.__enter__()
        warnings.simplefilter("ignore", FutureWarning)
        self._loggers = [logging.getLogger("torchrec"), logging.getLogger("root")]
        self._levels = [logger.level for logger in self._loggers]
        for logger in self._loggers:
            logger.setLevel(logging.ERROR)

    def __exit__(self, *error: object) -> None:
        for logger, level in zip(self._loggers, self._levels, strict=True):
            logger.setLevel(level)
        self._warnings.__exit__(*error)
