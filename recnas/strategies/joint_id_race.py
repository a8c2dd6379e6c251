"""How many joint ids help: one candidate is trained with several numbers of them."""

from __future__ import annotations

from recnas.candidates.candidate import Candidate

LEAST_GAIN = 2e-4
"""Log loss by which more of them must be better, to be taken."""


class JointIdRace:
    """Asks for numbers of joint ids: the expected one and none; then twice as many as long as that helps, or fewer.

    Args:
        available: How many there are.
        expected: How many are expected to help, by what is known of them beforehand; if none, nothing else is tried.

    Attributes:
        best: The number that is best so far; the expected one while nothing is known.
    """

    def __init__(self, available: int, expected: int) -> None:
        self._available = available
        self._expected = self.best = min(expected, available)
        self._losses: dict[int, float | None] = {}
        self._of: dict[str, int] = {}

    def ask(self) -> int | None:
        """The next number to try; None while what was asked for is not known, or when the race is over."""
        if not self._expected:
            return None
        for count in (self._expected, 0):
            if count not in self._losses:
                return count
        if self.waits:
            return None
        most = max(self._losses)
        if self.best == most and most < self._available:
            return min(2 * most, self._available)
        if self.best <= self._expected and (fewer := self._expected // 2) and fewer not in self._losses:
            return fewer
        return None

    @property
    def waits(self) -> bool:
        """Whether something that was asked for is not known yet."""
        return None in self._losses.values()

    def asked(self, candidate: Candidate, count: int) -> None:
        """A candidate stands for a number that was asked for."""
        self._losses[count] = None
        self._of[candidate.id] = count

    def tell(self, candidate: Candidate, loss: float | None) -> None:
        """What a candidate came to; one that stands for no number tells nothing."""
        if (count := self._of.get(candidate.id)) is None:
            return
        self._losses[count] = float("inf") if loss is None else loss
        known = {count: loss for count, loss in self._losses.items() if loss is not None}
        self.best = min(known, key=lambda count: known[count] + LEAST_GAIN * (count > 0))
