"""What a run's search is, whether its candidates are ranked or trained: a strategy proposes them."""

from __future__ import annotations

from recnas.runs.folder import SEARCH
from recnas.runs.settings import Settings
from recnas.search.stage import Stage
from recnas.strategies.base import Strategy
from recnas.strategies.registry import find_strategy, named_failures


def named_strategy(settings: Settings) -> Strategy:
    """The strategy that settings name.

    Raises:
        InputError: There is none, or it is the user's own and cannot be made.
    """
    cls = find_strategy(settings.explorer)
    with named_failures(cls, "cannot be made"):
        return cls.from_settings(settings)


class SearchStage(Stage):
    """A search by a strategy.

    Args:
        strategy: What proposes; it has not begun. None: the one that the settings name.
    """

    name = SEARCH

    def __init__(self, strategy: Strategy | None = None) -> None:
        self._strategy = strategy

    def strategy(self, settings: Settings) -> Strategy:
        """What proposes."""
        return named_strategy(settings) if self._strategy is None else self._strategy
