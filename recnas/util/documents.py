"""JSON and YAML from anywhere, as plain values: bounded before they cost anything, and of a known form.

A file of a run or an export may be damaged, or made to harm. So all of them are read here: within bounds on bytes,
depth, values and digits, and then held against a form, a type of `recnas.util.forms`, so that what uses the values need
not check them again. Every error is one line that names the file and the place in it.
"""

from __future__ import annotations

import json
import os
import re
import stat
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import yaml

from recnas.util.errors import InputError

if TYPE_CHECKING:
    from pydantic import TypeAdapter

MOST_BYTES = 2**26
"""Of a JSON file that a run or an export writes, unless it is said otherwise; real ones have a few megabytes."""
MOST_LOG_BYTES = 2**30
"""Of a file of JSON lines."""
MOST_LINE_BYTES = 2**22
"""Of one of its lines."""
MOST_YAML_BYTES = 2**17
"""Of a YAML file: settings have some kilobytes, and YAML is read slowly."""
MOST_DEPTH = 64
"""Values within values; those of a run have 8."""
MOST_DIGITS = 40
"""Of a whole number: the largest that is meant has 20."""
SHOWN = 60
"""Characters of a value that a message repeats."""

_MANY_DIGITS = re.compile(rf"[0-9]{{{MOST_DIGITS + 1}}}")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_ESCAPED_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def read_bytes(path: Path, most: int) -> bytes:
    """The content of a regular file of a bounded size.

    Raises:
        FileNotFoundError, NotADirectoryError: There is no such file.
        InputError: It cannot be read, is no file (a pipe would never end), or is larger.
    """
    try:
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):
            raise InputError(f"{path}: cannot be read (it is a folder, or no file at all)")
        if about.st_size > most:
            raise InputError(f"{path}: {about.st_size:,} bytes, where at most {most:,} are read")
        with path.open("rb") as file:
            # Not the bound: Python takes as much memory as it is asked to read.
            return file.read(min(most, os.fstat(file.fileno()).st_size))
    except (FileNotFoundError, NotADirectoryError):
        raise
    except (OSError, ValueError) as error:
        # A name that holds a zero byte is a ValueError.
        raise InputError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from None


def parse_json(data: bytes | str) -> Any:
    """The value of a JSON text. `NaN` and `Infinity` are read, as Python writes them; the form says where they may be.

    Raises:
        ValueError: It is not JSON, goes beyond the bounds, has a key twice in one object, or half of a character.

    >>> parse_json(b'{"score": -Infinity}')
    {'score': -inf}
    """
    text = data if isinstance(data, str) else data.decode("utf-8")
    hook = _integer if _MANY_DIGITS.search(text) else None
    try:
        value = json.loads(text, parse_int=hook, object_pairs_hook=_object)
    except RecursionError:
        raise ValueError(f"values lie deeper in one another than {MOST_DEPTH}") from None
    # Half of a character can come from an escape alone, as the bytes are UTF-8.
    _check_bounds(value, text_too=bool(_ESCAPED_SURROGATE.search(text)))
    return value


def parse_yaml(text: str, source: str) -> dict[str, Any]:
    """Reads a YAML mapping with a loader that makes plain values only, none of them shared.

    Dates are text. Aliases (`*name`) are refused: a few lines of them stand for gigabytes.

    Args:
        text: The text to read.
        source: The name of its source, for messages.

    Raises:
        InputError: Not YAML, not a mapping, or beyond the bounds.
    """
    if len(text) > MOST_YAML_BYTES:
        raise InputError(f"{source}: {len(text):,} characters, where at most {MOST_YAML_BYTES:,} are read")
    try:
        values = yaml.load(text, _PlainLoader)
        _check_bounds(values, text_too=True)
    except RecursionError:
        raise InputError(f"{source}: not YAML (values lie deeper in one another than {MOST_DEPTH})") from None
    except (yaml.YAMLError, ValueError) as error:
        raise InputError(f"{source}: not YAML ({' '.join(str(error).split())})") from None
    if not isinstance(values, dict):
        raise InputError(f"{source}: a mapping of settings is expected")
    return values


def check_form(value: Any, form: Any) -> None:
    """Holds a value against a form.

    Args:
        value: The plain values to check.
        form: A type of `recnas.util.forms`.

    Raises:
        ValueError: The first thing that is missing or of another kind, with its place, such as `models[2].id`.
    """
    from pydantic import ValidationError

    try:
        _adapter(form).validate_python(value, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        place, message = list(first["loc"]), f"{first['msg'][:1].lower()}{first['msg'][1:]}"
        if first["type"] == "missing":
            message = f"no {place.pop()!r}"
        elif first["type"] == "extra_forbidden":
            message = f"the key {place.pop()!r} is not known"
        else:
            message += f", it is {shortened(first['input'])}"
        where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).removeprefix(".")
        raise ValueError(f"{where}: {message}" if where else message) from None


def shortened(value: Any) -> str:
    """A value in one short line, as a message repeats it."""
    text = repr(value)
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"


@cache
def _adapter(form: Any) -> TypeAdapter[Any]:
    # Imported only now: it takes longer than everything that commands without files import.
    from pydantic import TypeAdapter

    return TypeAdapter(form)


def _integer(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise ValueError(f"a whole number of {len(digits):,} digits")
    return int(digits)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError(f"the key {shortened(_first_twice([key for key, _ in pairs]))} is there twice in one object")
    return value


def _first_twice(keys: list[Any]) -> Any:
    seen: list[Any] = []
    for key in keys:
        if key in seen:
            return key
        seen.append(key)
    raise AssertionError("every key is there once")


def _check_bounds(value: Any, text_too: bool) -> None:
    """Looks through nested values without a call for each level, as they may lie deeper than Python's stack.

    Args:
        value: The whole value.
        text_too: Whether texts may hold half of a character.
    """
    level, depth = [value], 0
    while level:
        if depth > MOST_DEPTH:
            raise ValueError(f"values lie deeper in one another than {MOST_DEPTH}")
        if text_too:
            for item in level:
                if isinstance(item, str) and _SURROGATE.search(item):
                    raise ValueError(f"half of a character in {shortened(item)}")
        following: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                following += item.values()
                if text_too:
                    for key in item:
                        if not isinstance(key, str):
                            raise ValueError(f"the key {shortened(key)} is no text")
                        if _SURROGATE.search(key):
                            raise ValueError(f"half of a character in the key {shortened(key)}")
            elif isinstance(item, list):
                following += item if text_too else [inner for inner in item if isinstance(inner, dict | list)]
        level, depth = following, depth + 1


class _PlainLoader(yaml.SafeLoader):
    """YAML's safe loader without aliases, tags, dates, keys that are there twice, and numbers without end."""

    # The base class has a table of its own.
    yaml_implicit_resolvers: ClassVar = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent):
            problem = f"the alias *{event.anchor} is not read; write the values out"
            raise yaml.composer.ComposerError(None, None, problem, event.start_mark)
        if event.tag is not None:
            raise yaml.composer.ComposerError(None, None, f"the tag {event.tag} is not read", event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        if isinstance(node, yaml.MappingNode):
            keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
            if len(set(keys)) < len(keys):
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {shortened(_first_twice(keys))} is there twice", node.start_mark
                )
        return super().construct_mapping(node, deep=deep)

    def construct_number(self, node: Any) -> Any:
        if len(node.value) > MOST_DIGITS:
            raise yaml.constructor.ConstructorError(
                None, None, f"a number of {len(node.value):,} characters", node.start_mark
            )
        kind = node.tag.rpartition(":")[2]
        return self.construct_yaml_int(node) if kind == "int" else self.construct_yaml_float(node)


for _kind in ("int", "float"):
    _PlainLoader.add_constructor(f"tag:yaml.org,2002:{_kind}", _PlainLoader.construct_number)
