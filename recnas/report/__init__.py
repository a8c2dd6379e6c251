"""A run as one page to look at: `write_report` makes a run folder's self-contained `report.html`. Needs no torch."""

from recnas.report.page import write_report
from recnas.report.run import Run, read_run

__all__ = ["Run", "read_run", "write_report"]
