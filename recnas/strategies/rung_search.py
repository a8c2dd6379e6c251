"""Trainings in rungs, at fidelities that grow by a factor: what successive halving and all that follow it share."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace

from recnas.candidates.candidate import Candidate
from recnas.candidates.evaluation import Evaluation, Result
from recnas.candidates.network import are_trees
from recnas.strategies.base import Strategy
from recnas.strategies.fresh_candidates import FreshCandidates, Proposal
from recnas.strategies.pace import Pace, loss_at
from recnas.strategies.problem import JointProblem

ETA = 3
"""Of how many candidates on a rung one goes on, as in the papers' experiments."""
FIDELITIES = (1 / 9, 1 / 3, 1.0)
"""Of the rungs: by default a ninth is half a pass over the training rows, before which little is told."""
TOP = len(FIDELITIES) - 1
"""The rung of whole trainings."""


class RungSearch(Strategy):
    """Trains candidates to the fidelity of a rung, and the best of them on to that of the next.

    Each is trained once: it pauses on a rung and goes on from there. Trees cannot pause; theirs is a whole training
    from the start, and on each rung they are judged by what it had come to at its fidelity. What ended before its
    fidelity is not asked for again, and stands on the rungs above with what it came to.

    With a budget in time nothing begins or goes on for which, by the pace of what was trained, there is no time to its
    end. If nothing would come to its end otherwise, the best is trained to it at once.

    Attributes:
        round: How many times candidates were drawn afresh for a lowest rung, as the history counts iterations.
    """

    trains = asynchronous = True

    def __init__(self) -> None:
        self.round = 0
        self._under_way: set[str] = set()
        self._evaluations: dict[str, Evaluation] = {}
        self._results: dict[str, Result] = {}
        # The rung for which each was last asked, and the one that it has reached.
        self._asked: dict[str, int] = {}
        self._reached: dict[str, int] = {}
        self._clock = 0.0

    def begin(self, problem: JointProblem) -> None:
        """See `Strategy.begin`."""
        super().begin(problem)
        self._pace = Pace(problem.macs, problem.pass_rows)
        self._fresh = FreshCandidates(problem)

    def ask(self) -> list[Evaluation]:
        """What is trained next, beside what is under way; nothing while it waits, or when the budget is spent."""
        asked = []
        while len(self._under_way) < self.problem.at_once and (evaluation := self._next()) is not None:
            self._under_way.add(evaluation.candidate.id)
            asked.append(evaluation)
        return asked

    def tell(self, results: Sequence[Result]) -> None:
        """What it came to."""
        for result in results:
            name = result.candidate.id
            self._under_way.discard(name)
            self._pace.learn(result, self._results.get(name))
            self._results[name], self._reached[name] = result, self._asked[name]
            self._clock = max(self._clock, result.clock or 0.0)

    @abstractmethod
    def _next(self) -> Evaluation | None:
        """What is trained next; None to wait for what is under way, or when nothing is left to be done."""

    def _drawn(self, rung: int) -> Proposal:
        """A candidate for a lowest rung; it may be known, or not affordable."""
        return Proposal(self.problem.space.draw(self.problem.rng))

    # What is asked

    def _new(self, rung: int, beside: Sequence[Candidate] = ()) -> Evaluation | None:
        """A new candidate on a lowest rung; None when the budget is spent, or none is found that there is time for.

        Args:
            rung: Its own.
            beside: Those that are on the rung, of which the best will take time, too.
        """
        most = self.problem.budget.evaluations
        if most is not None and len(self._fresh) >= most:
            return None
        proposal = self._fresh.new(lambda: self._drawn(rung), lambda found: self._has_time([*beside, found], rung))
        if proposal is None:
            return None
        evaluation = Evaluation(proposal.candidate, 1.0, proposal.parents, self.round, proposal.source)
        self._evaluations[proposal.candidate.id] = evaluation
        return self._at(proposal.candidate, rung)

    def _at(self, candidate: Candidate, rung: int) -> Evaluation:
        """A candidate's evaluation on a rung, which is to be asked for now."""
        self._asked[candidate.id] = rung
        fidelity = 1.0 if are_trees(candidate.network) else FIDELITIES[rung]
        return replace(self._evaluations[candidate.id], fidelity=fidelity)

    def _at_once_to_the_end(self) -> Evaluation | None:
        """The whole training of the best candidate, where nothing has come to its end nor will; None otherwise."""
        paused = [result for result in self._results.values() if result.training.paused and math.isfinite(result.score)]
        if self._under_way or not paused or any(result.training.finished for result in self._results.values()):
            return None
        furthest = max(result.evaluation.fidelity for result in paused)
        best = max((item for item in paused if item.evaluation.fidelity == furthest), key=lambda item: item.score)
        return self._at(best.candidate, TOP)

    # What is known

    def _stands_on(self, candidate: Candidate, rung: int) -> bool:
        """Whether a candidate needs no further training for a rung, as it has ended; it has reached it then."""
        if self._results[candidate.id].training.paused:
            return False
        self._asked[candidate.id] = self._reached[candidate.id] = rung
        return True

    def _loss(self, candidate: Candidate, rung: int) -> float:
        """What a candidate's training had come to on a rung that it has reached; infinite where it diverged there."""
        result, pass_rows = self._results[candidate.id], self.problem.pass_rows
        is_last = self._reached[candidate.id] == rung
        if not math.isfinite(result.score) and is_last:
            return math.inf
        if is_last and not are_trees(candidate.network):
            return -result.score
        rows = Evaluation(candidate, FIDELITIES[rung]).rows(pass_rows)
        if candidate.recipe is not None:
            rows = candidate.recipe.in_whole_batches(max(1, rows), pass_rows)
        return loss_at(result.training, max(rows, result.training.epochs[0].rows))

    def _on(self, rung: int) -> list[Candidate]:
        """The candidates that have reached a rung, those that went on from there included."""
        return [result.candidate for name, result in self._results.items() if self._reached[name] >= rung]

    def _best(self, field: Sequence[Candidate], rung: int, count: int) -> list[Candidate]:
        """So many of the candidates on a rung, or as many as have not diverged, the best first."""
        losses = {candidate.id: self._loss(candidate, rung) for candidate in field}
        sound = [candidate for candidate in field if math.isfinite(losses[candidate.id])]
        return sorted(sound, key=lambda candidate: losses[candidate.id])[:count]

    # What is left

    def _goes_on_in_time(self, candidate: Candidate, rung: int) -> bool:
        """Whether there is time to train a candidate that is on a rung to its end."""
        return self._left is None or self._seconds(candidate, 1 - FIDELITIES[rung]) <= self._left

    def _has_time(self, field: Sequence[Candidate], rung: int) -> bool:
        """Whether there is time for the last of some candidates on a lowest rung, and then for the best of all."""
        if self._left is None:
            return True
        at_once, count, before = self.problem.at_once, len(field), FIDELITIES[rung]
        whole = sum(self._seconds(candidate, 1.0) for candidate in field) / count
        needed = before * self._seconds(field[-1], 1.0)
        for fidelity in FIDELITIES[rung + 1 :]:
            count = max(1, count // ETA)
            needed += math.ceil(count / at_once) * (fidelity - before) * whole
            before = fidelity
        return needed <= self._left

    @property
    def _left(self) -> float | None:
        """Seconds of the budget that are left; None of a budget in candidates."""
        seconds = self.problem.budget.seconds
        return None if seconds is None else seconds - self._clock

    def _seconds(self, candidate: Candidate, share: float) -> float:
        """How long a share of a candidate's training takes; 0 while nothing is known."""
        return self._pace.seconds(candidate, share) or 0.0
