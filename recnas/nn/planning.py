"""Where the parts of embedding tables lie: TorchRec's planner, with the devices and what a user allows."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from fbgemm_gpu.split_embedding_configs import EmbOptimType
from fbgemm_gpu.split_table_batched_embeddings_ops_training import UserEnabledConfigDefinition
from torchrec import EmbeddingBagCollection, EmbeddingBagConfig
from torchrec.distributed.embeddingbag import EmbeddingBagCollectionSharder
from torchrec.distributed.planner import EmbeddingShardingPlanner, ParameterConstraints, Topology
from torchrec.distributed.planner.storage_reservations import FixedPercentageStorageReservation
from torchrec.distributed.planner.types import PlannerError, ShardingOption, Stats
from torchrec.distributed.types import ShardingPlan

from recnas.candidates.embedding_optimizer import EmbeddingOptimizer
from recnas.nn.row_kernels import BETA_2
from recnas.nn.sharding import Sharding
from recnas.util.errors import InputError, first_line

OPTIMIZERS = {
    "rowwise-adagrad": EmbOptimType.EXACT_ROWWISE_ADAGRAD,
    "adagrad": EmbOptimType.EXACT_ADAGRAD,
    "adam": EmbOptimType.ADAM,
}
"""FBGEMM's name of each fused optimiser that it has as it is wanted; its row-wise Adam does not count a row's updates.
"""
LEAST_COLUMNS = 4
"""Columns of the narrowest part of a row."""
RESERVED = 0.15
"""The share of a device's memory that is left for everything but tables."""
UNKNOWN_DEVICE = 32 * 2**30
"""Bytes that a CUDA device is taken to have where there is none to ask, as TorchRec takes it."""


class Planning:
    """Tables that are to be placed.

    Args:
        configs: The tables, each of one feature.
        optimizer: The fused optimiser of the tables.
        size: Number of processes that hold the tables.
        device: The kind of device, `cpu` or `cuda`.
        sharding: How tables may be split.
        batch_size: Rows a step of each process, for the planner's estimates.
        local_size: Processes of one host; None: what `torchrun` says, or all.

    Raises:
        InputError: What is allowed cannot be had there.
    """

    def __init__(
        self,
        configs: Sequence[EmbeddingBagConfig],
        optimizer: EmbeddingOptimizer,
        size: int,
        device: str,
        sharding: Sharding,
        batch_size: int | None = None,
        local_size: int | None = None,
    ) -> None:
        self.sharder = EmbeddingBagCollectionSharder(fused_params=_fused_params(optimizer, device))
        self.collection = EmbeddingBagCollection(tables=list(configs), device=torch.device("meta"))
        # A table of a few rows would be planned data-parallel, which no fused optimiser trains: kernels rule it out.
        # Rows cannot be brought up to date where some are in a cache as well.
        one_place = device == "cpu" or optimizer.decays
        kernels = sharding.kernels or (("fused",) if one_place else ("fused", "fused_uvm_caching"))
        if device == "cpu" and set(kernels) != {"fused"}:
            raise InputError(f"tables can be {', '.join(kernels)} on CUDA devices only; a CPU has one memory")
        if one_place and "fused_uvm_caching" in kernels:
            raise InputError("tables with a penalty cannot be fused_uvm_caching; take fused or fused_uvm")
        sharding.check([config.feature_names[0] for config in configs])
        ways = {config.name: sharding.of(config.feature_names[0], device, optimizer) for config in configs}
        if size == 1:
            # One process has nothing to split, and looking at all ways of splitting takes seconds.
            ways = dict.fromkeys(ways, ("table_wise",))
        local_size = local_size or min(size, int(os.environ.get("LOCAL_WORLD_SIZE", size)))
        self._kept = _KeptPlan()
        # The planner leaves the optimiser's state out.
        weights = sum(config.num_embeddings * config.embedding_dim for config in configs)
        state = sum(
            config.num_embeddings * state_per_row(optimizer, config.embedding_dim, device) for config in configs
        )
        share = weights / (weights + state)
        device_memory = sharding.device_memory or _device_memory(device)
        with quiet_planner():
            self.planner = EmbeddingShardingPlanner(
                topology=Topology(
                    world_size=size,
                    local_world_size=local_size,
                    compute_device=device,
                    hbm_cap=int(device_memory * share),
                    ddr_cap=int((sharding.host_memory or _host_memory() // local_size) * share),
                ),
                batch_size=batch_size,
                constraints={
                    name: ParameterConstraints(
                        sharding_types=list(types), compute_kernels=list(kernels), min_partition=LEAST_COLUMNS
                    )
                    for name, types in ways.items()
                },
                storage_reservation=FixedPercentageStorageReservation(percentage=RESERVED),
                stats=self._kept,
            )

    def plan(self) -> ShardingPlan:
        """Where the tables are to lie; no process group is needed.

        Raises:
            InputError: The tables do not fit.
        """
        with _lack_of_memory_as_input_error(), quiet_planner():
            return self.planner.plan(self.collection, [self.sharder])

    def options(self) -> list[ShardingOption]:
        """How `plan` places each table, with the planner's estimates.

        Raises:
            InputError: The tables do not fit.
        """
        self.plan()
        return self._kept.options


class _KeptPlan(Stats):
    """Takes what the planner would print."""

    options: list[ShardingOption]

    def log(self, *shown: Any, best_plan: list[ShardingOption], **more: Any) -> None:
        self.options = best_plan


@contextmanager
def _lack_of_memory_as_input_error() -> Iterator[None]:
    try:
        yield
    except PlannerError as error:
        raise InputError(
            f"the embedding tables cannot be placed ({first_line(error)}); more processes, more memory "
            "(--device-memory, --host-memory), other ways to split (--sharding) or smaller tables help"
        ) from None


def learns_by_fbgemm(optimizer: EmbeddingOptimizer, device: str) -> bool:
    """Whether FBGEMM's kernels update the tables; a penalty may come on top where they do on CUDA devices."""
    return device != "cpu" or not (optimizer.is_adam or optimizer.decays)


def state_per_row(optimizer: EmbeddingOptimizer, dim: int, device: str) -> int:
    """How many times the bytes of a weight are kept on a device of a row of `dim` weights, beside them."""
    # FBGEMM keeps first moments that are not used, too.
    unused = optimizer.is_adam and not optimizer.has_momentum and learns_by_fbgemm(optimizer, device)
    return optimizer.state_per_row(dim) + dim * unused


def _fused_params(optimizer: EmbeddingOptimizer, device: str) -> dict[str, Any]:
    if not learns_by_fbgemm(optimizer, device):
        # Of this kernel the weights alone are used, and it keeps nothing else.
        return {"optimizer": EmbOptimType.EXACT_SGD, "learning_rate": 0.0}
    if optimizer.name not in OPTIMIZERS:
        raise InputError(
            f"embedding optimiser {optimizer.name} is not offered on {device}; {', '.join(OPTIMIZERS)} are"
        )
    params = {"optimizer": OPTIMIZERS[optimizer.name], "learning_rate": 0.0, "eps": optimizer.eps}
    if optimizer.name == "adam":
        params |= {"beta1": optimizer.beta1, "beta2": BETA_2}
        params["extra_optimizer_config"] = UserEnabledConfigDefinition(use_rowwise_bias_correction=True)
    return params


def _device_memory(device: str) -> int:
    if device != "cuda" or not torch.cuda.is_available():
        return UNKNOWN_DEVICE
    return torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory


def _host_memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@contextmanager
def quiet_planner() -> Iterator[None]:
    """Keeps the planner's remarks on topologies of many hosts from a user; errors still show."""
    loggers = [logging.getLogger("torchrec"), logging.getLogger("root")]
    levels = [logger.level for logger in loggers]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            for logger in loggers:
                logger.setLevel(logging.ERROR)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
