"""What a model's dense part is: an architecture that a search found, or one of the baselines by its name."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recnas.nn.baselines import check_baseline_name
from recnas.space import Architecture
from recnas.util.errors import InputError
from recnas.util.files import read_json
from recnas.util.user_code import as_file_name, from_file_name

if TYPE_CHECKING:
    from torch import nn

    from recnas.features.schema import Schema

FOUND, BASELINE = "found", "baseline"
VERSION = 1


@dataclass(frozen=True)
class Definition:
    """Which network a model has. Reading one needs no torch; making its network does.

    Attributes:
        id: The architecture's id, or the baseline's name as that of a folder.
        kind: `found` or `baseline`.
        arch: The architecture of a found one.
    """

    id: str
    kind: str
    arch: Architecture | None = None

    @classmethod
    def found(cls, arch: Architecture) -> Definition:
        """Of an architecture."""
        return cls(arch.id, FOUND, arch)

    @classmethod
    def baseline(cls, name: str) -> Definition:
        """Of a baseline.

        Raises:
            InputError: There is none of that name.
        """
        check_baseline_name(name)
        return cls(as_file_name(name), BASELINE)

    @classmethod
    def of(cls, network: nn.Module) -> Definition:
        """Of a finished network.

        Raises:
            ValueError: It is neither an architecture's nor a baseline's.
        """
        from recnas.nn.baselines.registry import baseline_of

        if isinstance(arch := getattr(network, "architecture", None), Architecture):
            return cls.found(arch)
        if (spec := baseline_of(network)) is not None:
            return cls.baseline(spec.name)
        raise ValueError(f"{type(network).__name__} is neither a found network nor a baseline")

    @property
    def title(self) -> str:
        """What a person calls it: DLRM, or the architecture's id."""
        from recnas.nn.baselines.registry import imported_baseline

        return imported_baseline(self.name).title if self.kind == BASELINE else self.id

    @property
    def name(self) -> str:
        """Of a baseline, as settings have it."""
        return from_file_name(self.id)

    def network(self, schema: Schema, dim: int | None = None) -> nn.Module:
        """Its dense part, with fresh weights.

        Args:
            schema: The features.
            dim: Columns of the embeddings; None for those that it is published or searched with.
        """
        from recnas.nn.baselines.registry import imported_baseline
        from recnas.nn.model import found_network

        dim = self.dim if dim is None else dim
        if self.arch is None:
            return imported_baseline(self.name).network(schema, dim)
        return found_network(schema, self.arch, dim)

    def macs(self, schema: Schema, dim: int | None = None) -> int:
        """Multiply–accumulates a row of its dense part; arguments as in `network`."""
        from recnas.nn.baselines.registry import imported_baseline
        from recnas.space import cost

        dim = self.dim if dim is None else dim
        if self.arch is None:
            return imported_baseline(self.name).macs(schema, dim)
        return cost.macs(self.arch, schema.num_dense, schema.num_sparse, dim)

    @property
    def dim(self) -> int:
        """Columns of the embeddings that it reads; 0 for none."""
        from recnas.nn.baselines.registry import imported_baseline
        from recnas.nn.network import EMBEDDING_DIM

        return imported_baseline(self.name).dim if self.arch is None else EMBEDDING_DIM

    @property
    def first_order(self) -> bool:
        """Whether it reads a first-order weight of each table row."""
        from recnas.nn.baselines.registry import imported_baseline

        return self.arch is None and imported_baseline(self.name).first_order

    def to_json(self) -> dict[str, Any]:
        """As `architecture.json` has it."""
        if self.arch is not None:
            return self.arch.to_json()
        return {"version": VERSION, "kind": BASELINE, "name": self.name}

    def save(self, path: Path) -> None:
        """Writes an `architecture.json`."""
        path.write_text(json.dumps(self.to_json(), indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Definition:
        """Reads what `save` wrote.

        Raises:
            InputError: The file is missing or damaged, or no version of recnas knows what it names.
        """
        values = read_json(path, "`recnas export` writes it")
        if values.get("kind") != BASELINE:
            return cls.found(Architecture.load(path))
        if values.get("version") != VERSION:
            raise InputError(f"{path}: version {values.get('version')!r} where {VERSION} is expected; export it again")
        try:
            return cls.baseline(values.get("name"))
        except InputError as error:
            raise InputError(f"{path}: {error}") from None
