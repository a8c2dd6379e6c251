"""What a candidate's network is: an architecture of a search space, or a baseline by its name. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recnas.space import Architecture
from recnas.util.errors import InputError
from recnas.util.files import read_json, write_json
from recnas.util.user_code import as_file_name

SEARCHED, BASELINE = "searched", "baseline"
VERSION = 1


@dataclass(frozen=True)
class Baseline:
    """A baseline, named as wherever baselines are named; `recnas.nn.baselines` has them.

    Attributes:
        name: Of the baseline.
    """

    name: str

    @property
    def id(self) -> str:
        """Its name, as that of a file."""
        return as_file_name(self.name)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"version": VERSION, "kind": BASELINE, "name": self.name}


Network = Architecture | Baseline
"""Either of them: a frozen value with an `id` and a `to_json`. `recnas.nn.networks` makes it compute."""


def kind_of(network: Network) -> str:
    """`searched` or `baseline`."""
    return BASELINE if isinstance(network, Baseline) else SEARCHED


def network_from_json(values: Mapping[str, Any]) -> Network:
    """Reads what a network's `to_json` wrote.

    Raises:
        InputError: It is damaged, or of another version.
    """
    if values.get("kind") != BASELINE:
        return Architecture.from_json(values)
    if values.get("version") != VERSION:
        raise InputError(f"version {values.get('version')!r} where {VERSION} is expected; export it again")
    if not isinstance(name := values.get("name"), str):
        raise InputError(f"a baseline's name is expected, not {name!r}")
    return Baseline(name)


def load_network(path: Path) -> Network:
    """Reads an `architecture.json`.

    Raises:
        InputError: The file is missing or damaged.
    """
    values = read_json(path, "`recnas export` writes it")
    if values.get("kind") != BASELINE:
        return Architecture.load(path)
    try:
        return network_from_json(values)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def save_network(network: Network, path: Path) -> None:
    """Writes an `architecture.json`."""
    write_json(path, network.to_json())
