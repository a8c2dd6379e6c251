"""Code of a user's own, named `module:name` where a name of this package may stand."""

from __future__ import annotations

import importlib
import os
import re
import sys
from typing import Any

from recnas.util.errors import InputError

_NAMED = re.compile(r"(?<![\w.])([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):([A-Za-z_]\w*)(?![\w.:])")


def is_user_code(name: str) -> bool:
    """Whether a name is written as `module:name`; imports nothing."""
    return _NAMED.fullmatch(name) is not None


def user_code_in(text: str) -> list[str]:
    """Every `module:name` of a text, such as a weighted sum of proxies, in its order."""
    return [found.group() for found in _NAMED.finditer(text)]


def import_user_code(name: str, what: str) -> Any:
    """The object of a name `module:name`. It imports the module, so the name must be one that the user gave.

    The module may be a file in the working directory, as with `python -m`.

    Args:
        name: The name `module:name`.
        what: What it is to be, for messages: "proxy", "baseline".

    Raises:
        InputError: There is none.
    """
    module, _, inner = name.partition(":")
    loaded = import_user_module(module, f"{what} {name}: ")
    if not hasattr(loaded, inner):
        raise InputError(f"{what} {name}: the module {module} has no {inner}")
    return getattr(loaded, inner)


def import_user_module(module: str, said_of: str = "") -> Any:
    """Imports a module of the user's, from the working directory too.

    Args:
        module: The dotted name of the module.
        said_of: What precedes the message where it cannot be imported.

    Raises:
        InputError: It cannot be imported.
    """
    if (here := os.getcwd()) not in sys.path:
        sys.path.append(here)
    try:
        return importlib.import_module(module)
    except Exception as error:  # The module is the user's: what it does, and so what goes wrong in it, is anything.
        raise InputError(f"{said_of}the module {module} cannot be imported ({error})") from error


class NotImportedError(InputError):
    """A file names code of a user's own whose module nobody has imported; a file alone imports none.

    Args:
        name: The name `module:name`.
        where: The place of it, for the message.
    """

    def __init__(self, name: str, where: str = "") -> None:
        module = name.partition(":")[0]
        super().__init__(
            f"{where}{name} is code of its user's own; import {module} first (on the command line: --code {module})"
        )
        self.name, self._where = name, where

    def __reduce__(self) -> tuple[type[NotImportedError], tuple[str, str]]:
        # A worker's comes from another process.
        return type(self), (self.name, self._where)


def as_file_name(name: str) -> str:
    """A name that may be a `module:name`, as the name of a file or folder, where not every system has colons."""
    return name.replace(":", ".")


def from_file_name(text: str) -> str:
    """The name that `as_file_name` made it of. Names of this package have no dot, so that it is the last one."""
    return ":".join(text.rsplit(".", 1))
