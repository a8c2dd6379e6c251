"""Files that are written so that nothing can be lost: each appears under its name only when it is whole. And read."""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from recnas.util.documents import (
    MOST_BYTES,
    MOST_LINE_BYTES,
    MOST_LOG_BYTES,
    MOST_YAML_BYTES,
    check_form,
    parse_json,
    parse_yaml,
    read_bytes,
)
from recnas.util.errors import InputError, RunError

PARTIAL = ".partial"
"""What the name of a file ends in while it is being written."""
ANEW = "remove it, and the run's command with --resume makes it anew"
"""What helps when a file of a run cannot be read; nothing else of the run is lost."""
FROM_HERE = "remove this line and those after it, and the run's command with --resume makes them anew"
"""What helps when a line of a run's log cannot be read."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives a name to write a file under; it takes the place of `path` when the `with` block ends without an error.

    Until then, and after an error, what was there before stays.

    Args:
        path: The file; its folder is made if need be.

    Raises:
        RunError: It cannot be written.
    """
    partial = path.with_name(path.name + PARTIAL)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield partial
            # In this order: a name on the disk must never stand for content that is not there yet.
            _sync(partial)
            os.replace(partial, path)
            _sync(path.parent)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Says which file could not be written, and why.

    Raises:
        RunError: The `with` block raised an OSError.
    """
    try:
        yield
    except OSError as error:
        raise not_written(path, error.errno == errno.ENOSPC, error.strerror or str(error)) from error


def not_written(path: Path, disk_full: bool, reason: str) -> RunError:
    """The error to raise when a file cannot be written."""
    if disk_full:
        return RunError(f"{path}: the disk is full; free some space and give the command again, a search with --resume")
    return RunError(f"{path}: cannot be written ({reason}); make its folder writable, or choose another one")


def check_name(path: Path, flag: str) -> None:
    """Refuses the name of a folder of weights that is no text: safetensors, ONNX and TensorBoard open no such files.

    Args:
        path: The folder, as the user names it.
        flag: The flag that gives it.

    Raises:
        InputError: It has bytes that are not UTF-8.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError:
        remedy = f"rename the folder, or choose another {flag}"
        if sys.getfilesystemencoding() != "utf-8":
            # The name may well be; then this process cannot tell.
            remedy = f"set PYTHONUTF8=1 where the locale is not UTF-8 either, or choose another {flag}"
        raise InputError(f"{path}: the name is not UTF-8; {remedy}") from None


def write_text(path: Path, text: str) -> None:
    """Writes a file, or leaves the one of before.

    Raises:
        RunError: It cannot be written.
    """
    with replacing(path) as partial:
        # A name of a file that is no text can still be shown.
        partial.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Writes plain values as JSON; see `write_text`."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def read_json(path: Path, remedy: str = ANEW, form: Any = None, most: int = MOST_BYTES) -> dict[str, Any]:
    """Reads the object of a JSON file.

    Args:
        path: The file.
        remedy: The advice where it cannot be read.
        form: The form of what it holds, a type of `recnas.util.forms`; None: any object.
        most: The most bytes that it may have.

    Raises:
        InputError: There is no such file, it is damaged, or it holds something else.
    """
    try:
        value = parse_json(read_bytes(path, most))
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{path}: no such file; {remedy}") from None
    except ValueError as error:
        raise InputError(f"{path}: not JSON ({error}); {remedy}") from None
    if not isinstance(value, dict):
        raise InputError(f"{path}: an object is expected; {remedy}")
    _check(value, form, str(path), remedy)
    return value


def read_json_lines(path: Path, form: Any = None) -> list[dict[str, Any]]:
    """Reads the objects of a log that was being appended to, up to a line that is cut short or is not JSON.

    There are none when there is no file.

    Raises:
        InputError: A line of them holds something else than `form`, a type of `recnas.util.forms`.
    """
    values: list[dict[str, Any]] = []
    for number, line in enumerate(read_lines(path)[0], start=1):
        try:
            value = parse_line(line)
        except ValueError:
            break
        _check(value, form, f"{path}:{number}", FROM_HERE)
        values.append(value)
    return values


def parse_line(line: bytes) -> dict[str, Any]:
    """The object of a line of a log.

    Raises:
        ValueError: It is none.
    """
    if len(line) > MOST_LINE_BYTES:
        raise ValueError(f"a line of {len(line):,} bytes")
    value = parse_json(line)
    if not isinstance(value, dict):
        raise ValueError("an object is expected")
    return value


def checked_line(line: bytes, form: Any, where: str) -> dict[str, Any]:
    """The object of a line of a run's log, held against a form.

    Args:
        line: The line without its line end.
        form: The form of what it holds, a type of `recnas.util.forms`.
        where: File and number of the line, for errors.

    Raises:
        InputError: It is none, or holds something else.
    """
    try:
        value = parse_line(line)
        check_form(value, form)
    except ValueError as error:
        raise InputError(f"{where}: damaged ({error}); {FROM_HERE}") from None
    return value


def read_yaml(path: Path) -> dict[str, Any]:
    """Reads a YAML mapping; see `parse_yaml`.

    Raises:
        FileNotFoundError, NotADirectoryError: There is no such file.
        InputError: It is damaged.
    """
    try:
        text = read_bytes(path, MOST_YAML_BYTES).decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not text ({error})") from None
    return parse_yaml(text, str(path))


def by_dotted_name(settings: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The values of nested mappings by dotted names: `{"a": {"b": 1}}` gives `("a.b", 1)`."""
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from by_dotted_name(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def read_lines(path: Path) -> tuple[list[bytes], bool]:
    """The lines of a file that was being appended to, without line ends, and whether one that is cut short follows.

    There are none when there is no file.

    Raises:
        InputError: It cannot be read.
    """
    try:
        *lines, rest = read_bytes(path, MOST_LOG_BYTES).split(b"\n")
    except (FileNotFoundError, NotADirectoryError):
        return [], False
    return lines, rest != b""


def _check(value: Any, form: Any, where: str, remedy: str) -> None:
    if form is None:
        return
    try:
        check_form(value, form)
    except ValueError as error:
        raise InputError(f"{where}: {error}; {remedy}") from None


def _sync(path: Path) -> None:
    """Waits until a file, or the names in a folder, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
