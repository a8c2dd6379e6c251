"""A run as one page to look at: `write_report` makes a run folder's self-contained `report.html`. Needs no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from recnas.runs.reader import Run, read_run

if TYPE_CHECKING:
    from recnas.report.page import write_report

__all__ = ["Run", "read_run", "write_report"]


def __getattr__(name: str) -> Any:
    # Imported when asked for: a run can be read without the libraries that draw a page.
    if name == "write_report":
        from recnas.report.page import write_report

        return write_report
    raise AttributeError(f"module 'recnas.report' has no attribute {name!r}")
