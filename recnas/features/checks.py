"""Checks of what a `schema.json` says, whoever wrote it: each raises one line that names what does not fit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from recnas.util.documents import shortened
from recnas.util.errors import InputError


def check_name(name: Any) -> None:
    """Raises InputError if something is no name of a label or feature."""
    if not isinstance(name, str) or not name:
        raise InputError(f"{shortened(name)} is not a name; a label or feature needs a non-empty string")


def check_keys(value: Any, what: str, needed: tuple[str, ...], optional: tuple[str, ...] = ()) -> None:
    """Raises InputError if something is no object with the keys needed and no others than the optional ones."""
    if not isinstance(value, dict):
        raise InputError(f"{what} must be an object, it is {value!r:.60}")
    name = f" {value['name']}" if "name" in value else ""
    for key in needed:
        if key not in value:
            raise InputError(f"{what}{name} has no {key}")
    for key in value:
        if key not in needed + optional:
            raise InputError(f"{what}{name} has an unknown key {key}")


def check_list(value: Any, what: str) -> list[Any]:
    """The value. Raises InputError if it is no list."""
    if not isinstance(value, list):
        raise InputError(f"{what} must be a list, it is {value!r:.60}")
    return value


def is_int(value: Any) -> bool:
    """Whether something is a whole number; true and false are none."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Whether something is a finite number; true and false are none, nor is what no float can hold."""
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:
        return False


def with_tuples(entry: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    """An entry with tuples where JSON has lists, under some keys."""
    return {key: tuple(value) if key in keys and isinstance(value, list) else value for key, value in entry.items()}
