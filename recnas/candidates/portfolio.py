"""Portfolios: candidates that were good on other data sets, in the order to be tried. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from recnas.candidates.candidate import Candidate
from recnas.util.documents import parse_yaml
from recnas.util.errors import InputError
from recnas.util.files import read_yaml, write_text

VERSION = 1
SHIPPED = "portfolio.yaml"
"""The file of this package, beside this one."""


@dataclass(frozen=True)
class Member:
    """A candidate of a portfolio.

    Attributes:
        candidate: Without names of features: joint ids, and what is dropped, are found anew for each data set.
        joint_ids: How many of those that are found it takes, the most promising first; None: as many as help.
    """

    candidate: Candidate
    joint_ids: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        joint = {} if self.joint_ids is None else {"joint_ids": self.joint_ids}
        return self.candidate.to_json() | joint

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Member:
        """Reads what `to_json` wrote.

        Raises:
            InputError: It is damaged, or names features, which other data sets do not have.
        """
        candidate, joint_ids = Candidate.from_json(values), values.get("joint_ids")
        if candidate.inputs.crosses or candidate.inputs.dropped:
            raise InputError("a portfolio's candidate names no features; joint_ids says how many joint ids it takes")
        if joint_ids is not None and not (isinstance(joint_ids, int) and joint_ids >= 0):
            raise InputError(f"joint_ids is {joint_ids!r}; it must be a whole number, 0 or more")
        return cls(candidate, joint_ids)

    @classmethod
    def of(cls, candidate: Candidate) -> Member:
        """A candidate that was trained on some data set, without what is of its features alone."""
        return cls(replace(candidate, inputs=replace(candidate.inputs, crosses=(), dropped=())))


def load_portfolio(path: str | Path | None = None) -> list[Member]:
    """Reads a portfolio.

    Args:
        path: A YAML file that `save_portfolio` wrote; None for the one that recnas comes with.

    Raises:
        InputError: There is no such file, or it is damaged.
    """
    if path is None:
        file = resources.files("recnas.candidates") / SHIPPED
        values = parse_yaml(file.read_text(encoding="utf-8"), SHIPPED)
    else:
        try:
            values = read_yaml(Path(path))
        except (FileNotFoundError, NotADirectoryError):
            raise InputError(f"{path}: no such portfolio; `recnas portfolio RUN --output FILE` makes one") from None
    if values.get("version") != VERSION or not isinstance(values.get("candidates"), list) or not values["candidates"]:
        raise InputError(f"{path or SHIPPED}: no portfolio of version {VERSION}, which has candidates")
    members = []
    for place, item in enumerate(values["candidates"]):
        try:
            if not isinstance(item, Mapping):
                raise InputError("a candidate is expected")
            members.append(Member.from_json(item))
        except InputError as error:
            raise InputError(f"{path or SHIPPED}: candidates[{place}]: {error}") from None
    return members


def save_portfolio(members: Sequence[Member], path: Path) -> None:
    """Writes a portfolio."""
    values = {"version": VERSION, "candidates": [member.to_json() for member in members]}
    write_text(path, yaml.safe_dump(values, sort_keys=False, default_flow_style=None, width=120))
