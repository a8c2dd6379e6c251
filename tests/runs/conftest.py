"""What the tests of a run's folder share with those of a search and of a report."""

from tests.report.conftest import finished_run, old_run, run
from tests.searches import data, small

__all__ = ["data", "finished_run", "old_run", "run", "small"]
