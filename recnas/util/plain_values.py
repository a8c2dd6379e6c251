"""Settings, which are dataclasses within one another, from the nested plain values of YAML and flags, and back."""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, asdict, fields, is_dataclass
from functools import cache
from typing import Any

from recnas.util.documents import shortened
from recnas.util.errors import InputError
from recnas.util.setting import Group, Setting, group_of, setting_of

BOUND = 10**18
"""Above every whole number of a setting."""


def from_plain(kind: type, values: Mapping[str, Any], source: str) -> Any:
    """Settings of a kind; what is missing keeps its default.

    Args:
        kind: The dataclass.
        values: The nested plain values.
        source: The name of their source, for messages.

    Raises:
        InputError: A key is unknown, one without a default is missing, or a value has the wrong type or range.
    """
    return _build(kind, with_present_names(kind, values, source), source, "")


def with_present_names(kind: type, values: Any, source: str) -> Any:
    """Nested values with the present names of settings and values that had others before; the rest is as it was.

    Args:
        kind: The dataclass.
        values: The nested plain values.
        source: The name of their source, for messages.

    Raises:
        InputError: A setting is there by both of its names.
    """
    if not isinstance(values, Mapping):
        return values
    types_of, renamed = _types_of(kind), dict(values)
    for item in fields(kind):
        about = setting_of(item)
        if about is not None and about.former_name in renamed:
            if item.name in renamed:
                raise InputError(f"{source}: {about.former_name} is called {item.name} now; leave one of them out")
            renamed[item.name] = renamed.pop(about.former_name)
        if item.name not in renamed:
            continue
        value = renamed[item.name]
        if is_dataclass(types_of[item.name]):
            renamed[item.name] = with_present_names(types_of[item.name], value, source)
        elif about is not None and about.former_values:
            renamed[item.name] = _present(value, about.former_values)
    return renamed


def _present(value: Any, former: Mapping[str, str]) -> Any:
    if isinstance(value, list | tuple):
        return [_present(item, former) for item in value]
    return former.get(value, value) if isinstance(value, str) else value


def to_plain(settings: Any) -> dict[str, Any]:
    """The nested plain values of settings."""
    return _plain(asdict(settings))


def without_defaults(settings: Any) -> dict[str, Any]:
    """The nested plain values of settings, but for those that are as by default."""
    plain = to_plain(settings)
    return {item.name: plain[item.name] for item in fields(settings) if getattr(settings, item.name) != item.default}


def known_only(kind: type, values: Any) -> Any:
    """Nested values without the keys that are no settings of a kind."""
    if not isinstance(values, Mapping):
        return values
    types_of = _types_of(kind)
    names = {item.name for item in fields(kind)}
    return {
        key: known_only(types_of[key], value) if is_dataclass(types_of[key]) else value
        for key, value in values.items()
        if key in names
    }


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Nested values with those of `over` in the place of those of `base`."""
    result = dict(base)
    for key, value in over.items():
        inner = result.get(key)
        result[key] = merge(inner, value) if isinstance(inner, Mapping) and isinstance(value, Mapping) else value
    return result


def leaves(
    kind: type, path: tuple[str, ...] = (), group: Group | None = None
) -> Iterator[tuple[tuple[str, ...], Any, Setting | None]]:
    """Every single setting: its path, its type, and its description, if it has one, with its flag and group.

    Args:
        kind: The dataclass.
        path: Of the dataclass, in another.
        group: What its settings belong to.
    """
    types_of = _types_of(kind)
    for item in fields(kind):
        inner = types_of[item.name]
        if is_dataclass(inner):
            yield from leaves(inner, (*path, item.name), group_of(item) or group)
            continue
        about = setting_of(item)
        yield (*path, item.name), inner, about and about.within(item.name, group)


def _build(kind: type, values: Mapping[str, Any], source: str, where: str, base: Any = None) -> Any:
    if not isinstance(values, Mapping):
        raise InputError(f"{source}: {where or 'the file'} is {shortened(values)} where a mapping is expected")
    types_of, names = _types_of(kind), sorted(item.name for item in fields(kind))
    arguments = _defaults(kind) if base is None else {name: getattr(base, name) for name in names}
    for key, value in values.items():
        name = f"{where}.{key}" if where else str(key)
        if key not in names:
            raise InputError(f"{source}: unknown setting {name!r}; known are {', '.join(names)}")
        if is_dataclass(types_of[key]):
            arguments[key] = _build(types_of[key], value, source, name, arguments.get(key))
        else:
            arguments[key] = _convert(types_of[key], value, source, name)
    for name in names:
        if name not in arguments:
            raise InputError(f"{source}: {f'{where}.{name}' if where else name} is missing")
    try:
        return kind(**arguments)
    except InputError as error:
        raise InputError(f"{source}: {f'{where}: ' if where else ''}{error}") from None


def _defaults(kind: type) -> dict[str, Any]:
    """What fields have that are not given; none of those that must be."""
    found = {item.name: item.default for item in fields(kind) if item.default is not MISSING}
    made = {item.name: item.default_factory() for item in fields(kind) if item.default_factory is not MISSING}
    return found | made


def _convert(kind: Any, value: Any, source: str, name: str) -> Any:
    options = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    for option in options:
        if option is types.NoneType and value is None:
            return None
        if option in (float, int) and isinstance(value, int | option) and not isinstance(value, bool):
            # A whole number counts something; what is not a number is refused by its own range.
            if option is int and abs(value) >= BOUND:
                raise InputError(f"{source}: {name} is {shortened(value)}; it must be a number below {BOUND:.0e}")
            if math.isinf(number := option(value)):
                raise InputError(f"{source}: {name} is {number}; it must be finite")
            return number
        if option in (bool, str) and isinstance(value, option):
            return value
        if typing.get_origin(option) is tuple and isinstance(value, list | tuple):
            inner = typing.get_args(option)[0]
            return tuple(_convert(inner, item, source, name) for item in value)
    expected = " or ".join(
        {bool: "true or false", float: "a number", int: "a whole number", str: "text", types.NoneType: "null"}.get(
            o, "a list"
        )
        for o in options
    )
    hint = (
        " (in YAML a number like 1e-2 needs its point: 1.0e-2)" if isinstance(value, str) and float in options else ""
    )
    raise InputError(f"{source}: {name} is {shortened(value)} where {expected} is expected{hint}")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return list(value) if isinstance(value, tuple) else value


@cache
def _types_of(kind: type) -> dict[str, Any]:
    # Python compiles the text of each annotation anew.
    return typing.get_type_hints(kind)
