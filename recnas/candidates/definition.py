"""What a model's dense part is: an architecture that a search found, or one of the baselines by its name."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recnas.nn.baselines import TITLES
from recnas.space import Architecture
from recnas.util.errors import InputError
from recnas.util.files import read_json

if TYPE_CHECKING:
    from torch import nn

    from recnas.features.schema import Schema

FOUND, BASELINE = "found", "baseline"
VERSION = 1


@dataclass(frozen=True)
class Definition:
    """Which network a model has. Reading one needs no torch; making its network does.

    Attributes:
        id: The architecture's id, or the baseline's name.
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
        if not isinstance(name, str) or name not in TITLES:
            raise InputError(f"no baseline is named {name!r}; known are {', '.join(TITLES)}")
        return cls(name, BASELINE)

    @classmethod
    def of(cls, network: nn.Module) -> Definition:
        """Of a finished network.

        Raises:
            ValueError: It is neither an architecture's nor a baseline's.
        """
        from recnas.nn.baselines.table import BASELINES

        if isinstance(arch := getattr(network, "architecture", None), Architecture):
            return cls.found(arch)
        for name, baseline in BASELINES.items():
            if type(network) is baseline.make:
                return cls(name, BASELINE)
        raise ValueError(f"{type(network).__name__} is neither a found network nor a baseline")

    @property
    def title(self) -> str:
        """What a person calls it: DLRM, or the architecture's id."""
        return TITLES[self.id] if self.kind == BASELINE else self.id

    def network(self, schema: Schema, dim: int | None = None) -> nn.Module:
        """Its dense part, with fresh weights.

        Args:
            schema: The features.
            dim: Columns of the embeddings; None for those that it is published or searched with.
        """
        from recnas.nn.baselines.table import BASELINES
        from recnas.nn.model import found_network

        dim = self.dim if dim is None else dim
        if self.arch is None:
            return BASELINES[self.id].network(schema, dim)
        return found_network(schema, self.arch, dim)

    def macs(self, schema: Schema, dim: int | None = None) -> int:
        """Multiply–accumulates a row of its dense part; arguments as in `network`."""
        from recnas.nn.baselines.table import BASELINES
        from recnas.space import cost

        dim = self.dim if dim is None else dim
        if self.arch is None:
            return BASELINES[self.id].macs(schema, dim)
        return cost.macs(self.arch, schema.num_dense, schema.num_sparse, dim)

    @property
    def dim(self) -> int:
        """Columns of the embeddings that it reads; 0 for none."""
        from recnas.nn.baselines.table import BASELINES
        from recnas.nn.network import EMBEDDING_DIM

        return BASELINES[self.id].dim if self.arch is None else EMBEDDING_DIM

    @property
    def first_order(self) -> bool:
        """Whether it reads a first-order weight of each table row."""
        from recnas.nn.baselines.table import BASELINES

        return self.arch is None and BASELINES[self.id].first_order

    def to_json(self) -> dict[str, Any]:
        """As `architecture.json` has it."""
        if self.arch is not None:
            return self.arch.to_json()
        return {"version": VERSION, "kind": BASELINE, "name": self.id}

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
