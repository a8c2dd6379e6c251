"""Candidates that a search which trains has not asked for before, and that are within its limits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from recnas.candidates.candidate import Candidate
from recnas.strategies.problem import JointProblem

TRIES = 100
"""Draws in a row that are known, or not open, before nothing new is expected."""


@dataclass(frozen=True)
class Proposal:
    """A candidate that is proposed.

    Attributes:
        candidate: Its own.
        source: Which of several sources of proposals it is of; None where there is one.
        parents: Ids of the candidates that it was made from.
    """

    candidate: Candidate
    source: str | None = None
    parents: tuple[str, ...] = ()


class FreshCandidates:
    """Gives each candidate once, and none above the limits.

    Args:
        problem: Whose candidates.
    """

    def __init__(self, problem: JointProblem) -> None:
        self._affordable = problem.affordable
        self._known: set[str] = set()

    def __len__(self) -> int:
        """How many it has given."""
        return len(self._known)

    def new(
        self, draw: Callable[[], Proposal], is_open: Callable[[Candidate], bool] = lambda candidate: True
    ) -> Proposal | None:
        """What is drawn next that was not given before; None when many draws find nothing.

        Args:
            draw: Proposes a candidate.
            is_open: What else must hold of it, such as that there is time for it.
        """
        for _ in range(TRIES):
            candidate = (proposal := draw()).candidate
            if candidate.id not in self._known and self._affordable(candidate) and is_open(candidate):
                self._known.add(candidate.id)
                return proposal
        return None
