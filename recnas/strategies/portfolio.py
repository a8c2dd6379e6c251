"""The default search: a portfolio of tried candidates first, then proposals from several sources, all trained in rungs.

PriorBand (Mallik et al. 2023) draws from an expert's prior, around the incumbent, and uniformly; here the prior is a
portfolio that was learned on other data sets, a surrogate proposes as well, and the shares follow success.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Self

from recnas.candidates.candidate import Candidate
from recnas.candidates.evaluation import Evaluation, Result
from recnas.candidates.joint_space import JOINT_IDS
from recnas.candidates.network import are_trees
from recnas.candidates.portfolio import Member, load_portfolio
from recnas.candidates.recipe_choices import NETWORK, Options
from recnas.strategies.base import Strategy
from recnas.strategies.earned_proxies import EarnedProxies
from recnas.strategies.joint_id_race import JointIdRace
from recnas.strategies.pace import Pace, loss_at
from recnas.strategies.problem import JointProblem
from recnas.strategies.registry import strategy
from recnas.strategies.trial import RUNGS, Source, Trial

ELITE = 6
"""The best candidates, of networks and of trees, from which others are made and which a training must hope to join to
go on. Where trees are ahead, an ensemble needs networks all the same."""
SLACK = 0.002
"""Log loss that a training may be behind what would bring it among the best, when it is compared."""
JOINT_ID_SHARE, PORTFOLIO_SHARE = 0.3, 0.6
"""Shares of a budget after which no further number of joint ids is tried, and not the portfolio alone proposes."""
BEFORE_SURROGATE = 8
"""Trainings that have ended before a surrogate is fitted to them."""
OFFERED = 150
"""Candidates that it chooses from."""
SLOW_SHARE = 0.6
"""Share of a budget after which the best trees are grown once more in smaller steps."""
SLOWER = 0.5
"""How much smaller, at least."""
STUDENT_SHARE = 0.75
"""Share of a budget after which networks learn from what an ensemble of all that was trained predicts."""
BEFORE_STUDENT = 4
"""Trainings that have ended before that."""
STUDENTS = 2
"""Networks that do, the best ones; more come of them as of any of the best."""
MOST_FOR_STUDENT = 0.25
"""Share of a budget in time that is kept for the first of them, at most; if it takes longer, none is."""
TEACHING = 1.2
"""How much longer it takes than the network took before: predictions have to be made."""
SOFT_LABELS = 0.7
"""Share of the ensemble's predictions in their labels."""
MOST_OF_BUDGET = 1 / 3
"""Share of a budget in time that one training may take, but for the first: a search of two trainings finds nothing.
Where nothing else is left to be trained, what takes longer is better than nothing."""
TRIES = 50
"""Proposals in a row that are known, or not affordable, before a search gives up."""
PORTFOLIO, MUTATION, NEAR_PORTFOLIO, UNIFORM, SURROGATE, SEED, SLOW, STUDENT = (
    "portfolio",
    "mutation",
    "near portfolio",
    "uniform",
    "surrogate",
    "seed",
    "slower",
    "student",
)
_RATE = NETWORK + "learning_rate"
"""The place of the learning rate of trees."""
WITH_PROXIES = (MUTATION, NEAR_PORTFOLIO, UNIFORM)
"""Sources of which several proposals are ranked by a proxy that has earned its place."""


def _drawn(elite: Sequence[Trial], rng: random.Random) -> Trial:
    """One of the best: the first is twice as likely as the second, and so on in a harmonic row."""
    return rng.choices(elite, [1 / place for place in range(1, len(elite) + 1)])[0]


@strategy("portfolio")
class Portfolio(Strategy):
    """Trains candidates, not merely ranks them, until the budget is spent.

    The portfolio's candidates come first, in their order. Its first network is trained with several numbers of joint
    ids; the number that is best is what others begin with. Then come proposals of sources, whose shares follow their
    success in this run. A candidate is compared with what is known of its kind of network, as deep
    cross networks start slowly, at a fifth and at half of its training: by what it may hope for.

    Args:
        members: The portfolio; None: the one that recnas comes with; empty: none.
        sources: Those of proposals beside the portfolio.
        refines: Whether towards the end the best trees are grown once more in smaller steps, and networks learn from
            what the ensemble predicts.
        with_proxies: Whether proxies that order what has ended in the run have a say in proposals.
    """

    trains = asynchronous = True

    def __init__(
        self,
        members: Sequence[Member] | None = None,
        sources: Sequence[str] = (MUTATION, NEAR_PORTFOLIO, UNIFORM, SURROGATE, SEED),
        refines: bool = True,
        with_proxies: bool = True,
    ) -> None:
        self._members = load_portfolio() if members is None else list(members)
        self._sources = {name: Source() for name in sources}
        self._refines, self._with_proxies = refines, with_proxies
        self._trials: dict[str, Trial] = {}
        self._under_way: dict[str, Trial] = {}
        self._clock = 0.0

    @classmethod
    def from_settings(cls, settings: Any) -> Self:
        """See `Strategy.from_settings`."""
        return cls(load_portfolio(settings.portfolio))

    def begin(self, problem: JointProblem) -> None:
        """See `Strategy.begin`."""
        super().begin(problem)
        space = problem.space
        self._pace = Pace(problem.macs, problem.pass_rows)
        known = [replace(member, candidate=space.kept(member.candidate)) for member in self._members]
        self._left = [member for member in known if member.candidate in space]
        if self._members and not self._left:
            self._left = [Member(space.own(kind)) for kind in space.kinds]
        self._proxies = EarnedProxies(problem.proxies if self._with_proxies else None)
        self._race = JointIdRace(len(space.joint_ids), problem.helpful_joint_ids)
        if not any(problem.affordable(member.candidate) for member in self._left):
            self._left = []

    def ask(self) -> list[Evaluation]:
        """What is trained next, beside what is under way; nothing once the budget is spent."""
        asked = []
        while len(self._under_way) < self.problem.at_once and (trial := self._next()) is not None:
            self._under_way[trial.evaluation.candidate.id] = trial
            asked.append(replace(trial.evaluation, fidelity=trial.fidelity))
        return asked

    def tell(self, results: Sequence[Result]) -> None:
        """What it came to."""
        for result in results:
            trial = self._under_way.pop(result.candidate.id)
            self._pace.learn(result, trial.result)
            trial.learn(result)
            self._clock = max(self._clock, result.clock or 0.0)
            if trial.loss is None:
                trial.rung += 1
                trial.stopped = not self._is_promising(trial)
            if trial.loss is not None or trial.stopped:
                self._conclude(trial)

    def _conclude(self, trial: Trial) -> None:
        """Notes what became of a trial that goes no further."""
        name = trial.evaluation.source
        if name in self._sources:
            self._sources[name].trials += 1
            self._sources[name].wins += trial in self._elite(trial.are_trees)
        self._race.tell(trial.evaluation.candidate, trial.loss)
        if trial.loss is not None:
            self._proxies.learn(trial.evaluation.candidate, trial.kind, trial.loss, len(self._trials))

    # What is asked

    def _next(self) -> Trial | None:
        for name, trial in self._trials.items():
            waits = name not in self._under_way and trial.loss is None and not trial.stopped
            if waits and trial.result is not None:
                rest = trial.fidelity - RUNGS[trial.rung - 1]
                if not self._ended() or self._fits(trial.evaluation.candidate, rest, trial.patience):
                    return trial
        return self._new()

    def _new(self) -> Trial | None:
        """A candidate that nobody has asked about; None when the budget is spent, or its rest is too short."""
        if self._is_spent:
            return None
        races = self._left and not are_trees(self._left[0].candidate.network) and self._spent_share < JOINT_ID_SHARE
        if races and (count := self._race.ask()) is not None:
            candidate = self._with_joint_ids(self._left[0].candidate, count)
            self._race.asked(candidate, count)
            if (trial := self._admitted(PORTFOLIO, candidate)) is not None:
                return trial
            self._race.tell(candidate, None)
        if self._race.waits and not self._ended():
            # Nothing is known yet, and what is asked for tells it.
            return None
        ways = [self._from_portfolio, self._from_sources]
        if self._spent_share >= PORTFOLIO_SHARE and self._ended():
            # What is left of the portfolio may be small enough for the time that is left.
            ways.reverse()
        if self._refines and self._spent_share >= SLOW_SHARE:
            ways.insert(0, self._slower)
        if self._refines and len(self._ended()) >= BEFORE_STUDENT:
            # Where nothing else leaves time for it, it comes earlier.
            ways.insert(0 if self._spent_share >= STUDENT_SHARE else len(ways), self._student)
        for patience in (MOST_OF_BUDGET, *((1.0,) if self.problem.budget.seconds is not None else ())):
            for way in ways:
                if (trial := way(patience)) is not None:
                    return trial
        return None

    # Each way is told which share of the budget a whole training may take.

    def _from_portfolio(self, patience: float) -> Trial | None:
        """The next of the portfolio that there is time for."""
        for member in list(self._left):
            candidate = self._with_joint_ids(member.candidate, member.joint_ids)
            trial = self._admitted(PORTFOLIO, candidate, patience=patience)
            if trial is not None or candidate.id in self._trials:
                self._left.remove(member)
            if trial is not None:
                return trial
        return None

    def _slower(self, patience: float) -> Trial | None:
        """The best trees once more, of which each counts less: almost always a little better, and it takes longer."""
        if not (elite := self._elite(of_trees=True)):
            return None
        best, space = elite[0].settled, self.problem.space
        rates = space.table(space.kind_of(best)).get(_RATE, Options(())).values
        slower = max((rate for rate in rates if rate <= SLOWER * best.learning_rate), default=None)
        if slower is None:
            return None
        parents = (elite[0].evaluation.candidate.id,)
        return self._admitted(SLOW, space.with_values(best, {_RATE: slower}), parents, patience)

    def _student(self, patience: float) -> Trial | None:
        """The best network that has not learned from the ensemble's predictions, to learn from them."""
        sound = [trial for trial in self._elite(of_trees=False) if math.isfinite(trial.loss)]
        for trial in sound[: STUDENTS if self._students < STUDENTS else 0]:
            candidate = trial.evaluation.candidate
            taught = replace(candidate, recipe=replace(candidate.recipe, soft_labels=SOFT_LABELS))
            if (student := self._admitted(STUDENT, taught, (candidate.id,), patience)) is not None:
                return student
        return None

    def _from_sources(self, patience: float) -> Trial | None:
        """A proposal of one of the other sources."""
        names = [name for name in self._sources if name != SURROGATE or len(self._ended()) >= BEFORE_SURROGATE]
        for _ in range(TRIES if names else 0):
            source = self.problem.rng.choices(names, [self._sources[name].weight for name in names])[0]
            if source in WITH_PROXIES:
                draw = partial(self._proposed, source)
                is_open = partial(self._is_open, patience=patience)
                proposed = self._proxies.best_of(draw, self.problem.space.kind_of, is_open)
            else:
                proposed = self._proposed(source)
            if (trial := self._admitted(source, *proposed, patience)) is not None:
                return trial
        return None

    def _admitted(
        self, source: str, candidate: Candidate, parents: tuple[str, ...] = (), patience: float = MOST_OF_BUDGET
    ) -> Trial | None:
        """A proposal's trial, if it is new, affordable, and there is time for it."""
        if not self._is_open(candidate, patience):
            return None
        evaluation = Evaluation(candidate, 1.0, parents, len(self._trials), source)
        trial = Trial(evaluation, self.problem.space.kind_of(candidate), patience)
        if trial.are_trees:
            # They cannot pause. The first of a kind of networks is not compared, but shows how long they take.
            trial.rung = len(RUNGS)
        self._trials[candidate.id] = trial
        return trial

    def _is_open(self, candidate: Candidate, patience: float) -> bool:
        fits = candidate.id not in self._trials and self._fits(candidate, 1.0, patience)
        return fits and self.problem.affordable(candidate)

    def _proposed(self, source: str) -> tuple[Candidate, tuple[str, ...]]:
        """A candidate, and what it was made from."""
        rng, space = self.problem.rng, self.problem.space
        if source == UNIFORM or not self._ended():
            return space.draw(rng), ()
        if source == NEAR_PORTFOLIO:
            member = rng.choice(self._members)
            candidate = self._with_joint_ids(space.kept(member.candidate), None)
            if candidate in space:
                return space.mutate(candidate, rng, 2), ()
        if source == SURROGATE:
            return self._chosen_by_surrogate()
        if source == SEED and (found := self._with_another_seed()) is not None:
            return found
        elite = self._elite() if rng.random() < 0.5 else self._elite(of_trees=False)
        parent = _drawn(elite or self._elite(), rng)
        changes = 1 + (rng.random() < 0.5) + (rng.random() < 0.25)
        return space.mutate(parent.settled, rng, changes), (parent.evaluation.candidate.id,)

    def _chosen_by_surrogate(self) -> tuple[Candidate, tuple[str, ...]]:
        rng, space, ended, elite = self.problem.rng, self.problem.space, self._ended(), self._elite()
        offered = []
        for place in range(OFFERED):
            if place % 3:
                parent = rng.choice(elite)
                made = space.mutate(parent.settled, rng, rng.randint(1, 4))
                offered.append((made, (parent.evaluation.candidate.id,)))
            else:
                offered.append((space.draw(rng), ()))
        known = [trial.settled for trial in ended]
        worst = max((trial.loss for trial in ended if math.isfinite(trial.loss)), default=math.inf)
        losses = [min(trial.loss, worst) for trial in ended]
        if not math.isfinite(worst):
            return offered[0]
        candidates = [candidate for candidate, _ in offered]
        return offered[self._proxies.most_promising(known, losses, candidates, space.encode, rng)]

    def _with_another_seed(self) -> tuple[Candidate, tuple[str, ...]] | None:
        """A good network once more, from other weights on: alike ones are the surest members of an ensemble."""
        if not (elite := self._elite(of_trees=False)):
            return None
        alike = candidate = _drawn(elite, self.problem.rng).evaluation.candidate
        while alike.id in self._trials:
            alike = replace(alike, recipe=replace(alike.recipe, seed=alike.recipe.seed + 1))
        return alike, (candidate.id,)

    def _with_joint_ids(self, candidate: Candidate, count: int | None) -> Candidate:
        """A candidate with so many joint ids; None: as many as help its like, as far as is known."""
        if not (joint_ids := self.problem.space.joint_ids_of(candidate)):
            return candidate
        if count is None:
            count = self.problem.helpful_to_trees if are_trees(candidate.network) else self._race.best
        return self.problem.space.with_values(candidate, {JOINT_IDS: min(count, len(joint_ids))})

    # What is known

    def _ended(self) -> list[Trial]:
        return [trial for trial in self._trials.values() if trial.loss is not None]

    def _elite(self, of_trees: bool | None = None) -> list[Trial]:
        """The best that have ended, the best first; of trees alone, or of networks alone."""
        ended = [trial for trial in self._ended() if of_trees in (None, trial.are_trees)]
        sound = [trial for trial in ended if math.isfinite(trial.loss)]
        return sorted(sound or ended, key=lambda trial: trial.loss)[:ELITE]

    def _is_promising(self, trial: Trial) -> bool:
        """Whether an unfinished training may come among the best, if it gains from here on what its kind's best did."""
        share = RUNGS[trial.rung - 1]
        now = trial.result.training.lowest.validation.log_loss
        gains, kind = [], [other for other in self._ended() if other.kind == trial.kind and math.isfinite(other.loss)]
        for other in kind:
            rows = share * other.evaluation.candidate.passes * self.problem.pass_rows
            if (then := loss_at(other.result.training, rows)) is not None:
                gains.append(then - other.loss)
        if not gains:
            return True
        return now - max(gains) <= self._elite(trial.are_trees)[-1].loss + SLACK

    # What is left

    @property
    def _spent_share(self) -> float:
        budget = self.problem.budget
        if budget.seconds is not None:
            return self._clock / budget.seconds
        return len(self._trials) / budget.evaluations

    @property
    def _is_spent(self) -> bool:
        return self._spent_share >= 1

    def _fits(self, candidate: Candidate, share: float, patience: float) -> bool:
        """Whether there is time for a share of a candidate's training, and the whole takes no more than its patience, a
        share of the budget; the first is made whatever it takes."""
        if (seconds := self.problem.budget.seconds) is None:
            return True
        if (whole := self._pace.seconds(candidate)) is None:
            return True
        is_too_long = self._ended() and whole > patience * seconds
        kept = 0.0 if candidate.soft_labels else self._kept_for_student
        return not is_too_long and self._clock + share * whole + kept <= seconds

    @property
    def _students(self) -> int:
        """Networks that were asked to learn from the ensemble."""
        return sum(trial.evaluation.source == STUDENT for trial in self._trials.values())

    @property
    def _kept_for_student(self) -> float:
        """Seconds of a budget that are kept for the first network that learns from the ensemble."""
        if not self._refines or self._students or len(self._ended()) < BEFORE_STUDENT:
            return 0.0
        networks = self._elite(of_trees=False)
        needed = TEACHING * self._pace.seconds(networks[0].evaluation.candidate) if networks else 0.0
        return needed if needed <= MOST_FOR_STUDENT * self.problem.budget.seconds else 0.0


@strategy("uniform")
class UniformSearch(Portfolio):
    """Draws every choice of every candidate uniformly, and compares trainings as `Portfolio` does: random search."""

    def __init__(self) -> None:
        super().__init__((), (UNIFORM,), refines=False, with_proxies=False)

    @classmethod
    def from_settings(cls, settings: Any) -> Self:
        """See `Strategy.from_settings`."""
        return cls()
