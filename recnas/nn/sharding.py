"""How embedding tables may be split among processes, as a plain value; reading it needs no torch."""

from __future__ import annotations

from dataclasses import dataclass

from recnas.candidates.embedding_optimizer import EmbeddingOptimizer
from recnas.util.errors import InputError
from recnas.util.setting import setting

ROW_TYPES = ("row_wise", "table_row_wise")
COLUMN_TYPES = ("column_wise", "table_column_wise", "grid_shard")
TYPES = ("table_wise", *ROW_TYPES, *COLUMN_TYPES)
"""TorchRec's ways to split tables with a fused optimiser: by whole tables, by rows, by columns, or both."""
KERNELS = ("fused", "fused_uvm_caching", "fused_uvm")
"""Where FBGEMM keeps a table: in the device's memory, or in the host's with or without a cache on the device."""
OF_CPU = frozenset({"table_wise", "column_wise", "table_column_wise"})
"""What TorchRec offers on a CPU."""


@dataclass(frozen=True)
class Sharding:
    """What the planner may choose from.

    Without `types`, a table may be split in all ways that the device offers and that learn as one process does; without
    `kernels`, it may be in the device's memory, and on CUDA devices in the host's behind a cache.

    Raises:
        InputError: There is no such way or place, or a size is not above 0.
    """

    types: tuple[str, ...] = setting(
        (),
        flag="--sharding",
        help=f"how embedding tables may be split among processes, of {', '.join(TYPES)}; none: as safe",
    )
    tables: tuple[str, ...] = setting(
        (),
        flag="--table-sharding",
        help="the same for single features, such as item=row_wise or item=row_wise+table_wise",
    )
    kernels: tuple[str, ...] = setting(
        (), flag="--table-memory", help=f"where tables may be on CUDA devices, of {', '.join(KERNELS)}"
    )
    device_memory: int | None = setting(None, help="bytes of a CUDA device, such as 80G; none: what it has")
    host_memory: int | None = setting(None, help="bytes of a process's share of its host; none: what there is")

    def __post_init__(self) -> None:
        for table in self.tables:
            if "=" not in table:
                raise InputError(f"{table!r} names no way to split a table; write it as item=row_wise")
        for names, known, what in (
            (self.types, TYPES, "way to split a table"),
            *((names, TYPES, "way to split a table") for names in self._of_tables.values()),
            (self.kernels, KERNELS, "place for a table"),
        ):
            for name in names:
                if name not in known:
                    raise InputError(f"no {what} is named {name!r}; known are {', '.join(known)}")
        for name in ("device_memory", "host_memory"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise InputError(f"{name} is {value}; it must be above 0")

    def of(self, feature: str, device: str, optimizer: EmbeddingOptimizer) -> tuple[str, ...]:
        """The ways to split a feature's table.

        Args:
            feature: The name of the table's feature.
            device: The kind of device, `cpu` or `cuda`.
            optimizer: How the tables learn. A state of a whole row rules columns out: parts of a row would learn at
                rates of their own, and otherwise than on one process.

        Raises:
            InputError: A way was asked for that the device or the optimiser rules out.
        """
        offered = OF_CPU if device == "cpu" else frozenset(TYPES)
        asked = self._of_tables.get(feature) or self.types
        if not asked:
            left_out = COLUMN_TYPES if optimizer.has_row_state or device != "cpu" else ("table_column_wise",)
            return tuple(name for name in TYPES if name in offered and name not in left_out)
        for name in asked:
            if name not in offered:
                raise InputError(
                    f"table of {feature}: {name} is not offered on a {device}; {', '.join(sorted(offered))} are"
                )
            if name in COLUMN_TYPES and optimizer.has_row_state:
                kept = optimizer.name if optimizer.name != "adagrad" else "a penalty"
                raise InputError(
                    f"table of {feature}: {name} splits rows, whose state is kept whole by {kept}; "
                    "take --embedding-optimizer adagrad without a penalty, or another way"
                )
        return asked

    def check(self, features: list[str]) -> None:
        """Raises InputError if a table is named that there is not."""
        for name in self._of_tables:
            if name not in features:
                raise InputError(f"sharding names a table of {name}; there is no such sparse feature")

    @property
    def _of_tables(self) -> dict[str, tuple[str, ...]]:
        pairs = (table.rpartition("=") for table in self.tables)
        return {feature: tuple(ways.split("+")) for feature, _, ways in pairs}
