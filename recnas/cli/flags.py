"""Settings as flags of the command line: one for each, made of the settings' own types."""

from __future__ import annotations

import argparse
import shlex
import types
import typing
from collections.abc import Collection
from decimal import Decimal
from functools import reduce
from itertools import chain
from typing import Any

from recnas.nn.sharding import Sharding
from recnas.runs.settings import Settings
from recnas.util.plain_values import leaves


def add_setting_flags(
    parser: argparse.ArgumentParser,
    settings: type[Settings],
    *,
    only: Collection[str] = (),
    without: Collection[str] = (),
) -> None:
    """A flag for every setting, in groups; what is not given keeps the preset's value.

    Args:
        parser: Of the command.
        settings: What they are settings of.
        only: The settings that the command takes, or groups of them, as in `config.yaml`; empty for all.
        without: Those of them that it does not take.

    Raises:
        ValueError: There is no such setting.
    """
    defaults = settings()
    names = [".".join(path) for path, _, _ in leaves(settings)]
    if unknown := [place for place in (*only, *without) if not any(_among(name, [place]) for name in names)]:
        raise ValueError(f"{settings.__name__} has no {unknown[0]}")
    groups: dict[str | None, argparse._ActionsContainer] = {None: parser}
    for path, kind, about in leaves(settings):
        name = ".".join(path)
        if about is None or (only and not _among(name, only)) or _among(name, without):
            continue
        if about.group not in groups:
            groups[about.group] = parser.add_argument_group(about.group)
        shown = _shown(reduce(getattr, path, defaults))
        how = {"dest": f"setting:{name}", "default": argparse.SUPPRESS} | _read_as(kind)
        text = f"{about.help} (default: {shown})".replace("%", "%%")
        groups[about.group].add_argument(about.flag, help=text, **how)
        if about.former_flag is not None:
            # Of its own, so that a message about one flag names that one.
            parser.add_argument(about.former_flag, help=argparse.SUPPRESS, **how)


def _read_as(kind: Any) -> dict[str, Any]:
    """How argparse reads a flag's value as a setting's type; one of yes and no has none, but a second flag."""
    if kind in (bool, bool | None):
        return {"action": argparse.BooleanOptionalAction}
    nargs = "*" if typing.get_origin(kind) is tuple else None
    return {"type": reader(kind), "nargs": nargs, "metavar": metavar(kind)}


def _among(name: str, places: Collection[str]) -> bool:
    """Whether a setting is one of those named, or belongs to a group that is."""
    return any(f"{name}.".startswith(f"{place}.") for place in places)


def _shown(default: Any) -> str:
    """A default as the help of its flag shows it."""
    if default is None or default == ():
        return "none"
    return shlex.join(map(str, default)) if isinstance(default, tuple) else str(default)


def reader(kind: Any) -> Any:
    """A function that reads a flag's text as a setting's type."""
    if typing.get_origin(kind) is tuple:
        inner = reader(typing.get_args(kind)[0])

        def read(text: str) -> Any:
            return [inner(item) for item in text.split(",")]
    elif isinstance(kind, types.UnionType):
        inner = reader(typing.get_args(kind)[0])

        def read(text: str) -> Any:
            return None if text.lower() == "none" else inner(text)
    else:
        return _whole_number if kind is int else kind
    # What argparse calls a value that cannot be read.
    read.__name__ = inner.__name__
    return read


def _whole_number(text: str) -> int:
    """Reads 2000000, 2e6, 2M or 2000k as the same number."""
    digits, times = (text[:-1], _TIMES[text[-1]]) if text[-1:] in _TIMES else (text, 1)
    try:
        number = Decimal(digits) * times
        fits = abs(number) < 10**18 and number == int(number)
    except ArithmeticError:
        fits = False
    if not fits:
        raise argparse.ArgumentTypeError(f"invalid whole number: {text!r}")
    return int(number)


_TIMES = {"k": 10**3, "M": 10**6, "G": 10**9}


def metavar(kind: Any) -> str:
    """What a value of a type is called in the help."""
    if typing.get_origin(kind) is tuple:
        kind = typing.get_args(kind)[0]
    if isinstance(kind, types.UnionType):
        kind = typing.get_args(kind)[0]
    return {int: "N", float: "X"}.get(kind, "NAME")


def given_settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """The settings that flags gave, nested."""
    given: dict[str, Any] = {}
    for key, value in vars(arguments).items():
        if key.startswith("setting:"):
            *path, last = key.removeprefix("setting:").split(".")
            inner = given
            for part in path:
                inner = inner.setdefault(part, {})
            inner[last] = joined(value)
    return given


def given_sharding(arguments: argparse.Namespace) -> Sharding:
    """How tables may be split, by its flags."""
    given = given_settings(arguments).get("sharding", {})
    return Sharding(**{name: tuple(value) if isinstance(value, list) else value for name, value in given.items()})


def joined(value: Any) -> Any:
    """A flag's value; one of several values takes them apart by spaces or commas."""
    return list(chain(*value)) if isinstance(value, list) else value
