"""PriorBand: how it shares its draws, that a good prior pays, and that it recovers from a bad one."""

from __future__ import annotations

import random
import statistics
from functools import cache, partial

import pytest
from scipy.stats import wilcoxon

from recnas.candidates.candidate import Candidate
from recnas.candidates.defaults import own_candidate
from recnas.candidates.joint_space import JointSpace
from recnas.candidates.portfolio import Member
from recnas.strategies.hyperband import Hyperband
from recnas.strategies.priorband import A_BRACKET, INCUMBENT, PRIOR, UNIFORM, PriorBand
from recnas.strategies.problem import Budget
from recnas.strategies.rung_search import ETA, TOP, RungSearch
from tests.strategies.worlds import KINDS, World, final_loss, problem_of

SEEDS = 12
DRAWS = 1000


@cache
def by_loss() -> list[Candidate]:
    """Uniform draws, the best first."""
    rng, space = random.Random(0), JointSpace(tuple(KINDS))
    return sorted((space.draw(rng) for _ in range(DRAWS)), key=final_loss)


def prior(of_best: bool) -> list[Member]:
    """A prior from the best twentieth, or the worst tenth, of uniform draws."""
    pool = by_loss()[: DRAWS // 20] if of_best else by_loss()[-DRAWS // 10 :]
    return [Member(candidate) for candidate in random.Random(1).sample(pool, 6)]


def best_of(strategy: RungSearch, candidates: int, seed: int) -> float:
    """The lowest loss among what a search has trained to its end."""
    world = World()
    world.search(strategy, problem_of(Budget(candidates), seed))
    return min(final_loss(result.candidate) for result in world.told if result.training.finished)


def rows_to(strategy: RungSearch, seed: int) -> int:
    """Training rows until something has ended that is as good as one in fifty draws."""
    target = final_loss(by_loss()[DRAWS // 50])
    return World().search(
        strategy,
        problem_of(Budget(100_000), seed),
        until=lambda result: result.training.finished and final_loss(result.candidate) <= target,
    )


def test_uniform_draws_fade_rung_by_rung_and_the_incumbent_counts_after_a_bracket() -> None:
    world, strategy = World(), PriorBand(prior(of_best=True))
    strategy.begin(problem_of(Budget(40), 3))
    assert [strategy.shares(rung)[UNIFORM] for rung in range(TOP + 1)] == [1 / 2, 1 / (1 + ETA), 1 / (1 + ETA**2)]
    spent = 0.0
    while evaluations := strategy.ask():
        for rung in range(TOP + 1):
            shares = strategy.shares(rung)
            assert sum(shares.values()) == pytest.approx(1)
            if spent < A_BRACKET:
                assert shares[INCUMBENT] == 0
        for evaluation in evaluations:
            spent += evaluation.fidelity
            strategy.tell([world.evaluate(evaluation)])
    assert strategy.shares(0)[INCUMBENT] > 0


def test_the_prior_is_tried_first_as_it_stands_and_what_is_of_the_incumbent_says_so() -> None:
    members = prior(of_best=True)
    world = World()
    world.search(PriorBand(members), problem_of(Budget(60), 3))
    known = [item.candidate.id for item in world.asked]
    of_prior = list(dict.fromkeys(item.candidate.id for item in world.asked if item.source == PRIOR))
    assert len(of_prior) > 3
    assert of_prior[: len(members)] == [member.candidate.id for member in members][: len(of_prior)]
    assert {item.source for item in world.asked} == {PRIOR, INCUMBENT, UNIFORM}
    for place, item in enumerate(world.asked):
        if item.source == INCUMBENT:
            assert item.parents[0] in known[:place]


def test_who_makes_the_best_is_believed() -> None:
    kept, given_up = [], []
    for of_best, shares in ((True, kept), (False, given_up)):
        for seed in range(4):
            world, strategy = World(), PriorBand(prior(of_best))
            world.search(strategy, problem_of(Budget(30), seed))
            shares.append(strategy.shares(0)[PRIOR])
    # Of its six candidates each has a sixth of its density, and the incumbent all of its own.
    assert min(kept) > 0.5 / 2 / 7
    assert max(given_up) < 1e-6


def test_a_good_prior_makes_it_faster_than_hyperband() -> None:
    with_prior = [rows_to(PriorBand(prior(of_best=True)), seed) for seed in range(SEEDS)]
    without = [rows_to(Hyperband(), seed) for seed in range(SEEDS)]
    assert wilcoxon(with_prior, without, alternative="less").pvalue < 0.01
    assert statistics.median(with_prior) < statistics.median(without) / 3


def test_it_recovers_from_a_bad_prior() -> None:
    members = prior(of_best=False)
    assert min(final_loss(member.candidate) for member in members) > final_loss(by_loss()[int(0.85 * DRAWS)])
    after, without = (
        statistics.median(best_of(make(), 60, seed) for seed in range(SEEDS))
        for make in (partial(PriorBand, members), Hyperband)
    )
    # No further from the best than hyperband is, but for a tenth of the distance.
    least = final_loss(by_loss()[0])
    assert after <= without + 0.1 * (final_loss(by_loss()[DRAWS // 2]) - least)


def test_a_prior_outside_the_space_gives_way_to_the_space_s_own() -> None:
    strategy = PriorBand([Member(own_candidate("finalmlp"))])
    strategy.begin(problem_of(Budget(4)))
    space = strategy.problem.space
    assert [candidate.id for candidate in strategy._prior] == [space.own(kind).id for kind in space.kinds]
