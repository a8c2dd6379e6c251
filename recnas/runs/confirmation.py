"""Settings that make a run do what their author wants, not its user: they count only where the user gave them.

A run's folder, a study's and a preset may come from elsewhere. A `module:name` that stands there, for a proxy, a search
space or a baseline, would be imported, and a Ray cluster that it names would be given this process's work, and send
objects that are unpickled. So both must be repeated on the command line, or in the call from Python. Everything else
that is in such files is a value.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from recnas.execution.addresses import OWN_CLUSTERS
from recnas.runs.settings import CodeFlag, Settings
from recnas.util.errors import InputError
from recnas.util.user_code import user_code_in


def check_code(
    settings: Settings, given: Mapping[str, Any], source: str, code_flags: Mapping[str, CodeFlag] | None = None
) -> None:
    """Holds the code that settings would run against what the user gave.

    Args:
        settings: As resolved from preset, run and the user's own.
        given: The user's own, nested as in `config.yaml`.
        source: Where the others are from.
        code_flags: The settings whose code would run; None for all that `settings` has.

    Raises:
        InputError: They name a module that the user did not name.
    """
    code_flags = settings.code_flags if code_flags is None else code_flags
    confirmed = {name for path in code_flags for name in _user_code(_texts(given, path))}
    for path, code in code_flags.items():
        texts = _texts(settings.to_mapping(), path)
        if missing := [name for name in _user_code(texts) if name not in confirmed]:
            module, repeated = missing[0].partition(":")[0], shlex.join(texts)
            raise InputError(
                f"{source}: its {code.what} runs code of the module {module}; give {code.flag} {repeated} to confirm it"
            )


def check_cluster(settings: Settings, given: Mapping[str, Any], source: str) -> None:
    """Holds the cluster that would do the work against the one that the user gave; arguments as in `check_code`.

    Raises:
        InputError: It is another machine's, and the user did not name it.
    """
    if settings.ray not in (None, *OWN_CLUSTERS, given.get("ray")):
        raise InputError(
            f"{source}: its work goes to the Ray cluster at {settings.ray}, which can run code here; give --ray "
            f"{shlex.quote(settings.ray)} to confirm it, or --ray none"
        )


def _texts(values: Mapping[str, Any], path: str) -> list[str]:
    """The texts that stand at a dotted path of nested settings; none where it is not there."""
    inner: Any = values
    for name in path.split("."):
        inner = inner.get(name) if isinstance(inner, Mapping) else None
    if isinstance(inner, str):
        return [inner]
    return [text for text in inner if isinstance(text, str)] if isinstance(inner, list | tuple) else []


def _user_code(texts: list[str]) -> list[str]:
    return [name for text in texts for name in user_code_in(text)]
