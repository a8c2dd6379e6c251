"""What a candidate's network is: an architecture of a search space, or a baseline with its choices. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recnas.candidates.families import TREES, Choice, find_family, plain_choices, with_defaults
from recnas.space import Architecture
from recnas.util.errors import InputError
from recnas.util.files import read_json, write_json
from recnas.util.user_code import as_file_name

SEARCHED, BASELINE = "searched", "baseline"
VERSION = 2
READABLE = (1, 2)
"""Versions of a baseline's JSON; the first has no choices."""


@dataclass(frozen=True)
class Baseline:
    """A baseline: a family and what is chosen of what it leaves; `recnas.nn.baselines` has them.

    Attributes:
        name: Of the family, as in `FAMILIES` or `TREES`, or `module:Class`.
        choices: Names and values of those choices that are not as by default, in the order of names. They may be given
            in any order, as a mapping, and with defaults. Those of a user's own are not looked at before its module is
            imported, so they stay as they were given.

    Raises:
        InputError: The family has no such choice or value.

    Example:
        >>> Baseline("dcnv2", {"layers": 2, "hidden": [256, 128]}).choices
        (('hidden', (256, 128)), ('layers', 2))
    """

    name: str
    choices: tuple[tuple[str, Choice], ...] = ()

    def __post_init__(self) -> None:
        given = plain_choices(self.choices)
        if (family := find_family(self.name)) is not None:
            table = family.choices
            chosen = with_defaults(self.name, table, given)
            given = {key: chosen[key] for key in sorted(table) if chosen[key] != table[key][0]}
        object.__setattr__(self, "choices", tuple(given.items()))

    @property
    def id(self) -> str:
        """Its name, as that of a file, whatever was chosen: a family's candidates are listed together."""
        return as_file_name(self.name)

    @property
    def all_choices(self) -> dict[str, Choice]:
        """Every choice with its value, the default ones too; of a user's own those that were given."""
        family, given = find_family(self.name), dict(self.choices)
        return given if family is None else with_defaults(self.name, family.choices, given)

    @property
    def norms_batches(self) -> bool:
        """Whether it has batch norm, so that rows of a step are seen together."""
        return self.all_choices.get("norm") == "batch"

    def to_json(self) -> dict[str, Any]:
        """Plain values; what is as by default is left out."""
        choices = {key: list(value) if isinstance(value, tuple) else value for key, value in self.choices}
        return {"version": VERSION, "kind": BASELINE, "name": self.name} | ({"choices": choices} if choices else {})


Network = Architecture | Baseline
"""Either of them: a frozen value with an `id` and a `to_json`. `recnas.nn.networks` makes it compute.

A baseline may be of trees, which stand in the place of a network; `recnas.trees` grows those.
"""


def are_trees(network: Network) -> bool:
    """Whether it is a family of trees, which have no weights and no recipe of a network's."""
    return isinstance(network, Baseline) and network.name in TREES


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
    if (version := values.get("version")) not in READABLE:
        raise InputError(f"version {version!r} where {VERSION} is expected; export it again")
    if not isinstance(name := values.get("name"), str):
        raise InputError(f"a baseline's name is expected, not {name!r}")
    return Baseline(name, values.get("choices", ()))


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
