"""Where embedding tables would lie on so many processes, and what that takes of their memory: `recnas plan`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from recnas.candidates.embedding_optimizer import EmbeddingOptimizer
from recnas.features.published import PUBLISHED_ROWS
from recnas.features.schema import Schema
from recnas.nn.sharding import Sharding
from recnas.util.errors import InputError

BYTES = 4
"""Of a weight, and of a number of the optimiser's state."""
MIB = 2**20


@dataclass(frozen=True)
class PlacedTable:
    """One table and the place that it has.

    Attributes:
        feature: The feature whose table it is.
        rows: Number of its rows.
        size: Bytes of its weights and of its optimiser's state.
        way: How it is split; one of `recnas.nn.sharding.TYPES`.
        kernel: Where it is kept; one of `recnas.nn.sharding.KERNELS`.
        processes: The processes that have a part of it.
    """

    feature: str
    rows: int
    size: int
    way: str
    kernel: str
    processes: tuple[int, ...]


@dataclass(frozen=True)
class ProcessMemory:
    """The memory that tables take of one process.

    Attributes:
        process: The rank of the process.
        parts: Number of parts of tables that it has.
        rows: Number of rows of these parts.
        device: Bytes of the device's memory, by TorchRec's estimate: weights, and what a step looks up and sends.
        host: Bytes of the host's memory, by the same estimate.
        optimizer_state: Bytes of the optimiser's state, which come on top.
    """

    process: int
    parts: int
    rows: int
    device: int
    host: int
    optimizer_state: int


@dataclass(frozen=True)
class TablePlan:
    """The planner's choice."""

    name: str
    dim: int
    optimizer: str
    device: str
    batch_size: int
    tables: tuple[PlacedTable, ...]
    memory: tuple[ProcessMemory, ...]

    def to_json(self) -> dict[str, Any]:
        """The plan as plain JSON values."""
        return asdict(self)

    def __str__(self) -> str:
        size = sum(table.size for table in self.tables)
        rows = sum(table.rows for table in self.tables)
        width = max(len("table"), *(len(table.feature) for table in self.tables))
        lines = [
            f"{self.name}: {len(self.tables)} tables of {rows:,} rows, {self.dim} columns, {self.optimizer}: "
            f"{size / MIB:,.0f} MiB with the optimiser's state",
            f"{len(self.memory)} processes on {self.device}, {self.batch_size:,} rows a step of each",
            "",
            f"{'table':<{width}} {'rows':>12} {'MiB':>9}  {'split':<18} {'kept':<18} processes",
        ]
        lines += [
            f"{table.feature:<{width}} {table.rows:>12,} {table.size / MIB:>9,.1f}  {table.way:<18} {table.kernel:<18} "
            f"{_ranges(table.processes)}"
            for table in sorted(self.tables, key=lambda table: -table.rows)
        ]
        lines += ["", f"{'process':>7} {'parts':>6} {'rows':>12} {'device MiB':>11} {'host MiB':>9} {'state MiB':>9}"]
        lines += [
            f"{item.process:>7} {item.parts:>6} {item.rows:>12,} {item.device / MIB:>11,.1f} {item.host / MIB:>9,.1f} "
            f"{item.optimizer_state / MIB:>9,.1f}"
            for item in self.memory
        ]
        return "\n".join(lines)


def plan(
    data: str | Path,
    world_size: int,
    *,
    device: str = "cpu",
    local_world_size: int | None = None,
    dim: int = 16,
    batch_size: int = 512,
    max_rows_per_table: int | None = None,
    optimizer: str = "rowwise-adagrad",
    sharding: Sharding | None = None,
) -> TablePlan:
    """Asks TorchRec's planner where the tables of a data set would lie; nothing is started, and no such device needed.

    Args:
        data: A data set's folder, or `criteo`, `avazu` or `kdd` for the published table sizes.
        world_size: Number of processes, one a device.
        device: The kind of device, `cpu` or `cuda`.
        local_world_size: Processes of one host; None: all are on one.
        dim: Columns of a table.
        batch_size: Rows a step of each process.
        max_rows_per_table: Cap on the tables, as in a search; None: as they are.
        optimizer: One of `recnas.candidates.embedding_optimizer.NAMES`.
        sharding: What the planner may choose from.

    Raises:
        InputError: There is no such data set, the tables do not fit, or what is allowed cannot be had there.
    """
    # Reading a schema needs no torch.
    from recnas.nn.embeddings import table_configs
    from recnas.nn.planning import Planning, state_per_row

    for name, value in (("world_size", world_size), ("local_world_size", local_world_size), ("batch_size", batch_size)):
        if value is not None and value < 1:
            raise InputError(f"{name} is {value}, it must be 1 or more")
    if max_rows_per_table is not None and max_rows_per_table < 2:
        raise InputError(f"max_rows_per_table is {max_rows_per_table}, it must be 2 or more")
    if local_world_size is not None and world_size % local_world_size:
        raise InputError(f"{world_size} processes are not shared out evenly over hosts of {local_world_size}")
    tables = _rows(data, max_rows_per_table)
    chosen = EmbeddingOptimizer(optimizer)
    planning = Planning(
        table_configs(tables, dim), chosen, world_size, device, sharding or Sharding(), batch_size, local_world_size
    )
    # Table by table, as they were given.
    options = {option.name: option for option in planning.options()}
    by_feature = {feature: options[f"table_{place}"] for place, feature in enumerate(tables)}
    state = state_per_row(chosen, dim, device)
    placed = [
        PlacedTable(
            feature,
            tables[feature],
            tables[feature] * (dim + state) * BYTES,
            option.sharding_type,
            option.compute_kernel,
            tuple(sorted({shard.rank for shard in option.shards})),
        )
        for feature, option in by_feature.items()
    ]
    memory = []
    for process in range(world_size):
        parts = [shard for option in options.values() for shard in option.shards if shard.rank == process]
        memory.append(
            ProcessMemory(
                process,
                len(parts),
                sum(shard.size[0] for shard in parts),
                sum(shard.storage.hbm for shard in parts),
                sum(shard.storage.ddr for shard in parts),
                # Parts of a row have a share of its state each.
                sum(shard.size[0] * state_per_row(chosen, shard.size[1], device) for shard in parts) * BYTES,
            )
        )
    return TablePlan(str(data), dim, optimizer, device, batch_size, tuple(placed), tuple(memory))


def _rows(data: str | Path, cap: int | None) -> dict[str, int]:
    """Rows of each feature's table."""
    published = PUBLISHED_ROWS.get(str(data))
    if published is not None and not Path(data).is_dir():
        return {name: min(rows, cap or rows) for name, rows in published.items()}
    return {feature.name: feature.rows for feature in Schema.load(Path(data)).capped(cap).sparse}


def _ranges(numbers: Sequence[int]) -> str:
    """Numbers with ranges in short: 0, 1, 2, 5 as `0-2, 5`."""
    groups: list[list[int]] = []
    for number in numbers:
        if groups and groups[-1][-1] == number - 1:
            groups[-1].append(number)
        else:
            groups.append([number])
    return ", ".join(f"{group[0]}-{group[-1]}" if len(group) > 1 else str(group[0]) for group in groups)
