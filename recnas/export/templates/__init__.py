"""The texts that an export writes, as Jinja templates."""

from __future__ import annotations

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from recnas.export.python_text import literal
from recnas.util.printable import in_markdown


def render(name: str, **values: Any) -> str:
    """The text of a file of that name."""
    return _environment().get_template(f"{name}.j2").render(**values)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("recnas.export", "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(literal=literal, markdown=in_markdown)
    return environment
