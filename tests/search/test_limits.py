"""What the user can afford: limits and objectives, from a setting to the results."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recnas.candidates.defaults import own_candidate
from recnas.candidates.evaluation import Evaluation, Result
from recnas.candidates.limits import LimitSettings
from recnas.data import Dataset
from recnas.export import export_run
from recnas.features.schema import Schema
from recnas.runs.folder import open_run
from recnas.search import EvolutionSettings, RegularizedEvolution, Settings, run_search
from recnas.search.costs import Costs
from recnas.search.latency import Latencies
from recnas.search.scoring import build_learner, build_supernet
from recnas.space import SPACES, Architecture, SearchSpace, cost
from recnas.strategies.base import Strategy
from recnas.strategies.pareto import first_front, objectives
from recnas.strategies.problem import Problem
from recnas.strategies.random_search import RandomSearch
from recnas.util.errors import InputError
from tests.searches import history_of, stop_before, without_seconds
from tests.strategies.problems import problem_of

SMALL = EvolutionSettings(population=16, iterations=8, tournament=8, children=4)


def macs(arch: Architecture) -> int:
    return cost.macs(arch, 13, 26, 16)


def evolve(strategy: Strategy, problem: Problem) -> list[Evaluation]:
    """The whole search, with MACs as the score: it pulls at the limit as hard as it can."""
    strategy.begin(problem)
    history: list[Evaluation] = []
    while asked := strategy.ask():
        history += asked
        strategy.tell([Result(item, float(macs(item.candidate.network)), 0.0) for item in asked])
    return history


def limited(space: str, seed: int, bound: float, names: tuple[str, ...] = ("score",)) -> list[Evaluation]:
    """A whole search within a bound on MACs."""
    named = SearchSpace.named(space)
    problem = problem_of(
        named,
        random.Random(seed),
        SMALL.candidates,
        lambda arch: macs(arch) <= bound,
        named.smallest(macs),
        costs=lambda arch: tuple(float(cost.parameters(arch, 13, 26, 16)) for _ in names[1:]),
    )
    return evolve(RegularizedEvolution(replace(SMALL, objectives=names)), problem)


@settings(max_examples=6, deadline=None)
@given(st.sampled_from(list(SPACES)), st.integers(0, 99), st.floats(4.5, 6.7), st.booleans())
def test_every_candidate_is_within_the_limits_however_tight(space: str, seed: int, power: float, two: bool) -> None:
    names = ("score", "parameters") if two else ("score",)
    # A cross network alone has 184,041 on these features.
    bound = macs(SearchSpace.named(space).smallest(macs)) + 10**power
    history = limited(space, seed, bound, names)
    assert len(history) == SMALL.candidates == len({proposal.candidate.id for proposal in history})
    assert all(macs(proposal.candidate.network) <= bound for proposal in history)
    assert history == limited(space, seed, bound, names)


def test_under_a_tight_limit_few_draws_are_asked_about() -> None:
    asked = 0
    space = SearchSpace.named("nasrec-small")

    def affordable(arch: Architecture) -> bool:
        nonlocal asked
        asked += 1
        return macs(arch) <= 50_000

    # One in 2,000 random candidates is as small as this.
    problem = problem_of(space, random.Random(0), 128, affordable, space.smallest(macs))
    assert len(evolve(RandomSearch(), problem)) == 128
    assert asked < 20 * 128


def test_when_no_new_candidate_is_within_the_limits_the_search_ends() -> None:
    few = set()

    def affordable(arch: Architecture) -> bool:
        few.update({arch.id} if len(few) < 20 else ())
        return arch.id in few

    space = SearchSpace.named("nasrec-small")
    smallest = space.smallest(macs)
    affordable(smallest)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("recnas.strategies.problem.TRIES", 50)
        history = evolve(
            RegularizedEvolution(SMALL), problem_of(space, random.Random(0), SMALL.candidates, affordable, smallest)
        )
        assert SMALL.population < len(history) <= 20
        with pytest.raises(InputError, match=r"found only .* raise the limits"):
            evolve(
                RegularizedEvolution(replace(SMALL, population=40)),
                problem_of(space, random.Random(0), 80, affordable, smallest),
            )


@settings(max_examples=12, deadline=None)
@given(st.sampled_from(list(SPACES)), st.integers(0, 10**6), st.sampled_from([1, 3, 13, 16, 40]), st.integers(1, 40))
def test_no_candidate_costs_less_than_the_smallest(space: str, seed: int, dense: int, fields: int) -> None:
    rng, named = random.Random(seed), SearchSpace.named(space)
    for count in (cost.macs, cost.parameters):

        def price(arch: Architecture, count=count) -> int:
            return count(arch, dense, fields, 16)

        smallest = named.smallest(price)
        assert smallest in named
        arch = named.sample(rng)
        for _ in range(20):
            # Downhill, as random candidates are far from the smallest.
            arch = min(arch, *(named.mutate(arch, rng, 2) for _ in range(4)), key=price)
            assert price(arch) >= price(smallest)


def test_with_costs_as_objectives_parents_are_spread_over_the_front() -> None:
    names = ("score", "parameters")
    space = SearchSpace.named("nasrec-small")

    def point(proposal: Evaluation) -> tuple[float, ...]:
        arch = proposal.candidate.network
        return objectives(float(macs(arch)), (float(cost.parameters(arch, 13, 26, 16)),))

    everyone = replace(SMALL, tournament=SMALL.population, iterations=20, objectives=names)
    problem = problem_of(
        space,
        random.Random(0),
        everyone.candidates,
        costs=lambda arch: (float(cost.parameters(arch, 13, 26, 16)),),
    )
    history = evolve(RegularizedEvolution(everyone), problem)
    parents = set()
    for proposal in history[everyone.population :]:
        born = everyone.population + (proposal.iteration - 1) * everyone.children
        alive = history[born - everyone.population : born]
        front = {alive[place].candidate.id for place in first_front([point(item) for item in alive])}
        assert proposal.parents[0] in front
        parents |= set(proposal.parents)
    assert len(parents) > 6


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"limits": {"max_macs": 0}}, "max_macs is 0; it must be above 0"),
        ({"limits": {"max_latency_ms": float("nan")}}, "max_latency_ms is nan; it must be above 0"),
        ({"limits": {"latency_threads": 0}}, "latency_threads is 0; it must be 1 or more"),
        ({"evolution": {"objectives": ["macs"]}}, "objectives are macs; score and any costs beside it"),
        ({"evolution": {"objectives": ["score", "macs", "macs"]}}, "each once"),
        ({"evolution": {"objectives": ["score", "size"]}}, "'size'; known are score, macs, parameters, latency"),
    ],
)
def test_a_wrong_limit_or_objective_is_named(values: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Settings.from_mapping(values)


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"max_macs": 100}, r"--max-macs 100 cannot be met: the smallest candidate of nasrec-small costs 2,368 mult"),
        (
            {"max_parameters": 99},
            r"--max-parameters 99 cannot be met: .* costs \d+ dense parameters on 3 columns and 8",
        ),
        ({"max_latency_ms": 1e-6}, r"--max-latency-ms 1e-06 cannot be met: .* ms for 512 rows"),
        ({"max_latency_ms": 9.0, "latency_batch": 9999}, r"--latency-batch 9999 needs as many training rows"),
    ],
)
def test_limits_that_cannot_be_met_are_said_before_the_warm_up(
    data: Path, tmp_path: Path, small: dict, limits: dict, message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        run_search(data, tmp_path / "run", progress=False, limits=limits, **small)
    assert "\n" not in str(caught.value)
    # The next try finds the name free.
    assert not (tmp_path / "run").exists()


def test_limits_that_cannot_be_met_leave_an_earlier_run_in_place(data: Path, tmp_path: Path, small: dict) -> None:
    earlier = Settings.from_mapping({"data": str(data), "run": str(tmp_path / "run")})
    with open_run(earlier, Schema.load(data), overwrite=False, resume=False) as run:
        (run / "results.json").write_text("{}")
    for limits in ({"max_macs": 100}, {"max_macs": 2400}):
        with pytest.raises(InputError, match=r"cannot be met|distinct candidates"):
            run_search(data, run, progress=False, overwrite=True, limits=limits, **small)
    assert (run / "results.json").exists()


@pytest.mark.parametrize("limits", [{"max_macs": 300_000}, {"max_parameters": 100_000}, {}])
def test_a_warm_up_trains_what_may_be_proposed(data: Path, tmp_path: Path, limits: dict) -> None:
    # A latency is not measured for it.
    limits |= {"max_latency_ms": 1e-9}
    run = Settings.from_mapping({"data": str(data), "run": str(tmp_path), "limits": limits, "warmup": {"paths": 4}})
    learner = build_learner(run, build_supernet(run, Dataset(data)))
    paths = [path for _ in range(10) for path in learner.next_paths()]
    assert len(paths) == 40
    counts = Costs(replace(run, limits=LimitSettings()), Dataset(data))
    for name, bound in run.limits.bounds.items():
        if name != "latency":
            assert all(counts.of(path, name) <= bound for path in paths)
    free = random.Random("0/warmup")
    drawn = [learner.supernet.network.space.sample(free) for _ in range(40)]
    assert (paths == drawn) == (len(limits) == 1)
    assert not list(tmp_path.iterdir())


def test_what_is_counted_is_looked_at_before_what_is_measured(data: Path, tmp_path: Path) -> None:
    limits = {"max_macs": 500_000, "max_latency_ms": 1e9}
    run = Settings.from_mapping({"data": str(data), "run": str(tmp_path), "limits": limits})
    costs = Costs(run, Dataset(data))
    rng, space = random.Random(0), SearchSpace.named("nasrec-small")
    archs = [space.sample(rng) for _ in range(12)]
    fit = [arch.id for arch in archs if costs.affordable(arch)]
    assert 0 < len(fit) < len(archs)
    lines = [json.loads(line) for line in (tmp_path / "latency.jsonl").read_text().splitlines()]
    assert [line["id"] for line in lines if line["of"] == "candidate"] == fit
    assert [line["of"] for line in lines].count("embeddings") == 1


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """Times that are never the same twice, in place of the clock's; each third is long."""
    times: list[float] = []

    def median(self: Latencies, call: object) -> float:
        times.append(1 + random.random() / 10 + (len(times) % 3 == 2))
        return times[-1]

    monkeypatch.setattr(Latencies, "_median_ms", median)
    return times


def timeless(run: Path) -> dict:
    results = json.loads((run / "results.json").read_text())
    return {
        "history": without_seconds(history_of(run)),
        "front": results["front"],
        "ids": [model["id"] for model in results["models"]],
    }


@pytest.mark.slow
def test_a_resumed_run_decides_with_the_times_that_were_measured_before(
    data: Path, tmp_path: Path, small: dict, measured: list[float]
) -> None:
    given = {**small, "limits": {"max_latency_ms": 2.5}}
    given["evolution"] = small["evolution"] | {"objectives": ["score", "latency"]}
    whole = tmp_path / "whole"
    run_search(data, whole, progress=False, **given)
    lines = (whole / "latency.jsonl").read_text().splitlines(keepends=True)
    assert len(measured) == len(lines)
    times = {(line["of"], line["id"]): line["ms"] for line in map(json.loads, lines)}
    history = timeless(whole)["history"]
    # Among the measured are those that were refused.
    assert sum(of == "candidate" for of, _ in times) > len(history)
    assert all(times["candidate", line["id"]] <= 2.5 for line in history)
    results = json.loads((whole / "results.json").read_text())
    for model in results["models"]:
        assert model["latency_ms"] == times["trained", model["candidate"]]
    # Killed in the search, while a measurement was written.
    part = tmp_path / "part"
    shutil.copytree(whole, part)
    stop_before(part, "final training")
    kept = [line for line in lines if json.loads(line)["of"] != "trained"]
    (part / "latency.jsonl").write_text("".join(kept) + '{"of": "candi')
    shown = (whole / "history.jsonl").read_text().splitlines(keepends=True)
    (part / "history.jsonl").write_text("".join(shown[:7]))
    before = len(measured)
    run_search(data, part, resume=True, progress=False)
    # Nothing but the trained models is timed again, those of other learning rates too, which may be of the ensemble.
    assert len(measured) - before == sum(of == "trained" for of, _ in times) >= len(results["models"])
    assert timeless(part)["history"] == history
    assert timeless(part)["ids"] == timeless(whole)["ids"]
    assert (part / "latency.jsonl").read_text().startswith("".join(kept))
    (part / "results.json").unlink()
    (part / "latency.jsonl").write_text("{}\n" + "".join(kept))
    with pytest.raises(InputError, match=r"latency.jsonl:1: damaged"):
        run_search(data, part, resume=True, progress=False)


def test_finalists_are_a_front_within_the_limits_and_any_can_be_exported(
    data: Path, tmp_path: Path, small: dict
) -> None:
    run, limit = tmp_path / "run", 1_000_000
    small["evolution"] = {"population": 12, "iterations": 3, "tournament": 6, "children": 3}
    small["evolution"]["objectives"] = ["score", "macs"]
    small["final"] |= {"top_k": 3, "other_learning_rates": []}
    results = run_search(data, run, progress=False, limits={"max_macs": limit}, **small)
    history = history_of(run)
    macs = {line["id"]: cost.macs(Architecture.from_json(line["architecture"]), 3, 8, 16) for line in history}
    assert max(macs.values()) <= limit
    ranked = sorted(history, key=lambda line: -line["score"])
    found = [model for model in results["models"] if model["kind"] == "searched"]
    assert found[0]["id"] == ranked[0]["id"]
    points = [objectives(line["score"], (macs[line["id"]],)) for line in history]
    front = {history[place]["id"] for place in first_front(points)}
    ids = {model["id"] for model in found}
    assert ids <= front if len(front) >= 3 else front <= ids
    assert all(model["macs"] == macs[model["id"]] and model["over_limits"] == [] for model in found)
    points = [(model["validation"]["log_loss"], model["macs"]) for model in found]
    assert set(results["front"]) == {found[place]["id"] for place in first_front(points)}
    assert results["front"][0] == results["best_searched"]
    other = next(model["id"] for model in found if model["id"] != results["best_searched"])
    exported = export_run(run, tmp_path / "model", model=other)
    assert Architecture.load(exported / "architecture.json").id == other
    with pytest.raises(InputError, match=rf"no trained model 'lr' to export; there are .*{found[0]['id']}"):
        export_run(run, tmp_path / "lr", model="lr")


def test_a_cost_that_is_not_known_is_within_its_limit() -> None:
    limits = LimitSettings(max_macs=10, max_latency_ms=2.0)
    assert limits.exceeded({"macs": 11, "parameters": 99, "latency": None}) == ["macs"]
    assert limits.exceeded({"macs": 10, "parameters": 99, "latency": 2.1}) == ["latency"]


def test_trees_are_grown_under_every_limit(data: Path, tmp_path: Path) -> None:
    for limits in ({"max_macs": 1}, {"max_parameters": 1}):
        settings = Settings.from_mapping({"data": str(data), "run": str(tmp_path / "run"), "limits": limits})
        costs = Costs(settings, Dataset(data))
        assert costs.admits(own_candidate("lightgbm"))
        assert not costs.admits(own_candidate("dnn"))
