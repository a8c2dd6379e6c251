"""Samplers of Optuna, which propose candidates that are trained in whole.

Those are here that can choose among options as well as numbers. CMA-ES is for numbers alone, and needs another package;
quasi-random sequences learn nothing.
"""

from __future__ import annotations

import warnings
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from recnas.candidates.candidate import Candidate
from recnas.candidates.recipe_choices import Options
from recnas.strategies.fresh_candidates import Proposal
from recnas.strategies.optuna_choices import new_study, suggested, tpe_sampler
from recnas.strategies.problem import JointProblem
from recnas.strategies.registry import strategy
from recnas.strategies.whole_training import Trained, WholeTraining

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler
    from optuna.trial import Trial

BEGINNINGS = 10
"""Random trials before a model of what is good has a say."""
POPULATION = 10
"""Trials of a generation: there are tens to hundreds of them."""
REPEATS = 8
"""Trials in a row of candidates that may not be trained, before a uniform draw takes their place."""
KIND = "kind"
"""The parameter which kind of network a candidate has."""


class OptunaSearch(WholeTraining):
    """Trains what a sampler of Optuna (Akiba et al. 2019) proposes.

    What is above the limits is told it as a training that diverged, and what it proposes again as what it came to.

    Attributes:
        source: What proposals come from, as the history names it.
        suggests_all: Whether it is asked for the choices of all kinds of networks each time, as it can model only
            parameters that all trials have.
    """

    source: ClassVar[str]
    suggests_all: ClassVar[bool] = False

    @abstractmethod
    def sampler(self, seed: int) -> BaseSampler:
        """The sampler.

        Args:
            seed: Where its choices start.
        """

    def begin(self, problem: JointProblem) -> None:
        """See `Strategy.begin`."""
        super().begin(problem)
        seed = problem.rng.randrange(2**31)
        self._study = new_study(lambda: self.sampler(seed))
        self._names = problem.space.decisions()
        self._trials: dict[str, Trial] = {}
        self._losses: dict[str, float] = {}

    def propose(self) -> Proposal | None:
        """See `WholeTraining.propose`."""
        for _ in range(REPEATS):
            with warnings.catch_warnings():
                # That a sampler is experimental, or takes an infinite loss for the worst finite one.
                warnings.simplefilter("ignore")
                trial = self._study.ask()
                candidate = self._suggested(trial)
            if self.may_train(candidate):
                self._trials[candidate.id] = trial
                return Proposal(candidate, self.source)
            if candidate.id in self._losses or not self.problem.affordable(candidate):
                self._study.tell(trial, self._losses.get(candidate.id, float("inf")))
            else:
                # It is under way, or there is no time for it.
                self._study.tell(trial, state=_failed())
        return self.new(self.uniform)

    def learn(self, trained: Trained) -> None:
        """See `WholeTraining.learn`."""
        self._losses[trained.id] = trained.loss
        if (trial := self._trials.pop(trained.id, None)) is not None:
            self._study.tell(trial, trained.loss)

    def _suggested(self, trial: Any) -> Candidate:
        space = self.problem.space
        kind = suggested(trial, KIND, Options(tuple(space.kinds)))
        found = {}
        for other in space.kinds if self.suggests_all else [kind]:
            for place, name in self._names[other].items():
                if name not in found:
                    found[name] = suggested(trial, name, space.choices(other)[place])
        values = {place: found[name] for place, name in self._names[kind].items()}
        return space.with_values(space.own(kind), values)


def _failed() -> Any:
    import optuna

    return optuna.trial.TrialState.FAIL


@strategy("tpe")
class TPESearch(OptunaSearch):
    """Tree-structured Parzen estimators (Bergstra et al. 2011), of choices together, by groups that trials share."""

    source = "tpe"

    def sampler(self, seed: int) -> BaseSampler:
        """See `OptunaSearch.sampler`."""
        return tpe_sampler(seed, BEGINNINGS)


@strategy("gp")
class GaussianProcessSearch(OptunaSearch):
    """A Gaussian process, and the logarithm of the improvement that it expects; a proposal takes seconds."""

    source = "gp"
    suggests_all = True

    def sampler(self, seed: int) -> BaseSampler:
        """See `OptunaSearch.sampler`."""
        import optuna

        return optuna.samplers.GPSampler(seed=seed, n_startup_trials=BEGINNINGS)


@strategy("optuna-evolution")
class OptunaEvolution(OptunaSearch):
    """Generations, crossover and elitism: NSGA-II (Deb et al. 2002) with one objective; `evolution-trained` mutates."""

    source = "nsga-ii"
    suggests_all = True

    def sampler(self, seed: int) -> BaseSampler:
        """See `OptunaSearch.sampler`."""
        import optuna

        return optuna.samplers.NSGAIISampler(seed=seed, population_size=POPULATION)
