"""The files of a run: each appears under its name only when it is whole."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recnas.errors import InputError


def write_text(path: Path, text: str) -> None:
    """Writes a file, or leaves the one of before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)


def read_lines(path: Path) -> tuple[list[bytes], bool]:
    """The whole lines of a file that is written line by line, and whether one that is cut short follows.

    A file that is not there has no lines.
    """
    try:
        *lines, rest = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return [], False
    return lines, rest != b""


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Writes plain values as JSON."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Reads what `write_json` wrote.

    Raises:
        FileNotFoundError: There is no such file.
        InputError: It is damaged.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: damaged ({error}); --overwrite makes the run anew") from None
    if not isinstance(value, dict):
        raise InputError(f"{path}: damaged (no object); --overwrite makes the run anew")
    return value
