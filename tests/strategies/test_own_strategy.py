"""A strategy of a user's own: whatever it asks for, the search keeps its limits and budget; it is named or passed."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

import recnas
from recnas.candidates.candidate import Candidate
from recnas.candidates.evaluation import Evaluation, Result
from recnas.cli import main
from recnas.runs.status import read_status
from recnas.search import run_search
from recnas.search.loop import WithinBudget
from recnas.space import Architecture, SearchSpace, cost
from recnas.strategies.base import Strategy
from recnas.strategies.problem import Problem
from recnas.strategies.registry import RE_RANKING, TRAINING, check_strategy_name, find_strategy, strategies
from recnas.util.errors import InputError
from tests.own_code import STRATEGIES, here
from tests.searches import data, explore, history_of, small, stop_before, without_seconds
from tests.strategies.problems import RECIPE, problem_of

__all__ = ["data", "here", "small"]

SPACE = SearchSpace.named("nasrec-small")


def macs(arch: Architecture) -> int:
    return cost.macs(arch, 13, 26, 16)


class Asking(Strategy):
    """Asks for what it was made with, round after round, and remembers what it is told."""

    def __init__(self, *rounds: list[Evaluation]) -> None:
        self.rounds, self.told = list(rounds), list[list[Result]]()

    def ask(self) -> list[Evaluation]:
        return self.rounds.pop(0) if self.rounds else []

    def tell(self, results: Sequence[Result]) -> None:
        self.told.append(list(results))


def evaluations(archs: Sequence[Architecture]) -> list[Evaluation]:
    return [Evaluation(Candidate(arch, RECIPE)) for arch in archs]


def run(strategy: Strategy, problem: Problem) -> list[list[Evaluation]]:
    """What is evaluated in each round of a whole search."""
    kept = WithinBudget(strategy)
    kept.begin(problem)
    rounds = []
    while asked := kept.ask():
        rounds.append(asked)
        kept.tell([Result(item, float(macs(item.candidate.network)), 0.0) for item in asked])
    return rounds


def free(budget: int) -> Problem:
    return problem_of(SPACE, random.Random(0), budget)


def test_what_was_evaluated_before_is_answered_from_memory(sample: Callable[..., list[Architecture]]) -> None:
    a, b, c = evaluations(sample("nasrec-small", 3))
    strategy = Asking([a, b, a], [b, a], [c, b])
    assert run(strategy, free(10)) == [[a, b], [c]]
    assert [[result.evaluation for result in told] for told in strategy.told] == [[a, b, a], [b, a], [c, b]]
    assert strategy.told[0][0] == strategy.told[0][2] == strategy.told[1][1]


def test_parents_and_rounds_do_not_make_a_candidate_another_one_but_a_fidelity_and_a_recipe_do(
    sample: Callable[..., list[Architecture]],
) -> None:
    (a,) = evaluations(sample("nasrec-small", 1))
    again = replace(a, parents=("b-1",), iteration=5)
    more, other = replace(a, fidelity=0.5), replace(a, candidate=replace(a.candidate, recipe=replace(RECIPE, epochs=2)))
    assert run(Asking([a], [again], [more, other]), free(10)) == [[a], [more, other]]


def test_dead_parts_do_not_make_a_candidate_another_one(sample: Callable[..., list[Architecture]]) -> None:
    arch = next(arch for arch in sample("nasrec-small", 50) if arch.canonical() != arch)
    assert run(Asking(evaluations([arch, arch.canonical()])), free(10)) == [evaluations([arch])]


def test_a_strategy_that_asks_for_too_much_is_told_no_half_rounds_and_its_search_ends(
    sample: Callable[..., list[Architecture]],
) -> None:
    asked = evaluations(sample("nasrec-small", 7))
    strategy = Asking(asked[:3], asked[3:], asked[:1])
    assert run(strategy, free(5)) == [asked[:3], asked[3:5]]
    assert [len(told) for told in strategy.told] == [3]


def test_a_strategy_that_only_repeats_itself_ends(sample: Callable[..., list[Architecture]]) -> None:
    class Stubborn(Asking):
        def ask(self) -> list[Evaluation]:
            return evaluations(sample("nasrec-small", 1))

    strategy = Stubborn()
    assert len(run(strategy, free(5))) == 1
    assert len(strategy.told) > 100


def test_what_exceeds_the_limits_is_pulled_within_them(sample: Callable[..., list[Architecture]]) -> None:
    smallest = SPACE.smallest(macs)
    bound = macs(smallest) + 100_000
    archs = sorted(sample("nasrec-small", 20), key=macs)[-4:]
    assert macs(archs[0]) > bound

    def search() -> tuple[Asking, list[list[Evaluation]]]:
        strategy = Asking(evaluations(archs), evaluations(archs[:2]))
        return strategy, run(
            strategy, problem_of(SPACE, random.Random(3), 10, lambda arch: macs(arch) <= bound, smallest)
        )

    strategy, rounds = search()
    assert all(macs(item.candidate.network) <= bound for asked in rounds for item in asked)
    # It is told of what was evaluated in the place of what it asked for, in its order.
    assert [len(told) for told in strategy.told] == [4, 2]
    assert [result.evaluation for result in strategy.told[0]][: len(rounds[0])] == rounds[0]
    assert search()[1] == rounds


def test_strategies_are_found_by_name_each_for_its_purpose(here: Path) -> None:
    (here / "own_strategy.py").write_text(STRATEGIES + "\ndef no_class(): ...\n")
    in_rungs = {"successive-halving", "hyperband", "asha", "priorband"}
    assert {"evolution", "nsga2", "portfolio", "random", "uniform"} | in_rungs <= set(strategies())
    assert set(strategies(RE_RANKING)) == {"two-stage"}
    assert set(strategies(TRAINING)) == {"full", "halving"}
    check_strategy_name("not_there:HillClimbing")
    assert issubclass(find_strategy("own_strategy:HillClimbing"), Strategy)
    for name in ("own_strategy:no_class", "random:Random"):
        with pytest.raises(InputError, match=f"strategy {name}: .* is not a class derived from Strategy"):
            find_strategy(name)
    for name in ("two-stage", "halving", "hill"):
        with pytest.raises(InputError, match=rf"--strategy takes {' or '.join(strategies())}, or module:Class"):
            find_strategy(name)


@pytest.fixture
def settings(small: dict) -> dict:
    """Without a warm-up and with as little training as there can be."""
    return small | {"proxy": {"score": "parameters"}, "final": {"top_k": 1, "baselines": []}}


@pytest.mark.parametrize(
    ("method", "code", "said"),
    [
        ("__init__", "self, width", "cannot be made (TypeError: "),
        ("begin", "self, problem): 1 / 0", "failed when it began (ZeroDivisionError: division by zero)"),
        ("ask", "self): return self.proposals", "failed when asked (AttributeError: "),
        ("ask", "self): pass", "asked for None; ask gives a list of evaluations"),
        ("ask", "self): return [self.problem.random()]", "asked for Candidate(network=Architecture("),
        ("ask", "self): return [Evaluation(self.problem.random().network)]", "asked for Evaluation(candidate=Arch"),
        (
            "ask",
            "self): return [Evaluation(self.problem.random(), 2)]",
            "failed when asked (ValueError: a fidelity of 2",
        ),
        (
            "ask",
            "self): return [Evaluation(Candidate(Baseline('lr'), self.problem.recipe))]",
            "asked for proxies of Baseline(name='lr', choices=()); only architectures have some",
        ),
        ("ask", "self): return []", "asked for no candidate"),
        ("tell", "self, results): raise KeyError('two\\nlines')", "failed when it was told results (KeyError: "),
    ],
)
def test_what_goes_wrong_in_an_own_strategy_is_one_line(
    here: Path, data: Path, capsys: pytest.CaptureFixture[str], method: str, code: str, said: str
) -> None:
    code = f"def {method}({code}{'' if ')' in code else '): pass'}"
    (here / "wrong_strategy.py").write_text(
        "from recnas.candidates.candidate import Candidate\n"
        "from recnas.candidates.evaluation import Evaluation\n"
        "from recnas.candidates.network import Baseline\n"
        "from recnas.strategies.random_search import RandomSearch\n"
        f"class Wrong(RandomSearch):\n    {code}\n"
    )
    sys.modules.pop("wrong_strategy", None)
    command = ["search", "--data", str(data), "--run", "run", "--strategy", "wrong_strategy:Wrong", "--quiet"]
    assert main([*command, "--proxy", "parameters", "--population", "2", "--iterations", "0"]) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"recnas: strategy wrong_strategy:Wrong{'' if said.startswith('asked') else ':'} {said}")
    assert told.count("\n") == 1


def test_a_strategy_may_train_on_its_way_and_a_killed_run_of_it_ends_as_if_it_had_not_been(
    here: Path, data: Path, settings: dict
) -> None:
    class Trainings(Strategy):
        """Proposes two candidates, and trains each further and further."""

        def begin(self, problem: Problem) -> None:
            super().begin(problem)
            self.field = [problem.random() for _ in range(2)]
            self.shares = [0.01, 0.3, 0.55]
            self.scores = []

        def ask(self) -> list[Evaluation]:
            return [Evaluation(item, self.shares[0]) for item in self.field] if self.shares else []

        def tell(self, results: Sequence[Result]) -> None:
            self.shares.pop(0)
            self.scores += [result.score for result in results]

    def outcome(run: Path) -> dict:
        return {
            path.relative_to(run): path.read_bytes()
            for path in run.rglob("*")
            if path.is_file() and path.name in ("weights.safetensors", "chosen.json")
        }

    sys.modules["own_trainings"] = type(sys)("own_trainings")
    Trainings.__module__ = "own_trainings"
    settings |= {"evolution": {"population": 6, "iterations": 0}}
    first = Trainings()
    results = run_search(data, here / "whole", strategy=first, progress=False, **settings)
    (best,) = results["models"]
    assert best["candidate"] in {candidate.id for candidate in first.field}
    (weights,) = (path for path in outcome(here / "whole") if path.name == "weights.safetensors")
    assert weights.parent.name == best["candidate"]
    assert not list((here / "whole").rglob("checkpoint"))
    for kept in (1, 3, 5):
        run = here / f"killed-{kept}"
        run_search(data, run, strategy=Trainings(), progress=False, **settings)
        (run / "results.json").unlink()
        lines = (run / "history.jsonl").read_text().splitlines(keepends=True)
        (run / "history.jsonl").write_text("".join(lines[:kept]))
        resumed = Trainings()
        run_search(data, run, strategy=resumed, resume=True, progress=False)
        assert resumed.scores == first.scores
        assert outcome(run) == outcome(here / "whole")


def test_a_search_that_trains_on_its_way_is_in_its_search_until_it_has_all(
    here: Path, data: Path, settings: dict
) -> None:
    class Trained(Asking):
        def ask(self) -> list[Evaluation]:
            if self.told:
                raise KeyboardInterrupt
            return [Evaluation(self.problem.random(), 0.5)]

    Trained.__module__ = "own_trainings"
    with pytest.raises(KeyboardInterrupt):
        run_search(data, here / "run", strategy=Trained(), progress=False, **settings)
    assert read_status(here / "run").stage == "search"


def test_an_own_strategy_is_named_or_passed_and_goes_on_after_a_kill(here: Path, data: Path, settings: dict) -> None:
    (here / "own_strategy.py").write_text(STRATEGIES)
    name = "own_strategy:HillClimbing"
    results = recnas.search(data, here / "named", strategy=name, progress=False, **settings)
    history = history_of(here / "named")
    assert len(history) == 6 + 2 * 2
    scores = {line["id"]: line["score"] for line in history}
    for place in range(2, len(history), 2):
        best = max((line["id"] for line in history[:place]), key=scores.__getitem__)
        assert [line["parents"] for line in history[place : place + 2]] == [[best]] * 2
    assert results["best_searched"] == max(scores, key=scores.__getitem__)
    from own_strategy import HillClimbing

    explore(data, here / "passed", strategy=HillClimbing(), **settings)
    assert without_seconds(history_of(here / "passed")) == without_seconds(history)
    for run in (here / "named", here / "passed"):
        # Killed in the second round.
        stop_before(run, "final training")
        lines = (run / "history.jsonl").read_text().splitlines(keepends=True)
        (run / "history.jsonl").write_text("".join(lines[:3]))
    assert main(["search", "--run", "named", "--data", str(data), "--strategy", name, "--resume", "--quiet"]) == 0
    assert json.loads((here / "named" / "results.json").read_text())["best_searched"] == results["best_searched"]
    explore(data, here / "passed", strategy=HillClimbing(), resume=True)
    for run in (here / "named", here / "passed"):
        assert without_seconds(history_of(run)) == without_seconds(history)


def test_a_file_s_strategy_is_run_only_when_the_user_repeats_it(
    here: Path, data: Path, settings: dict, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "own_strategy.py").write_text("import pathlib\npathlib.Path('imported').touch()\n" + STRATEGIES)
    (here / "preset.yaml").write_text("strategy: own_strategy:HillClimbing\nproxy: {score: parameters}\n")
    command = ["search", "--data", str(data), "--run", "run", "--preset", "preset.yaml", "--quiet"]
    assert main(command) == 2
    said = capsys.readouterr().err
    confirm = (
        "its strategy runs code of the module own_strategy; give --strategy own_strategy:HillClimbing to confirm it"
    )
    assert said.endswith(f"preset.yaml: {confirm}\n")
    assert said.count("\n") == 1
    # A run that has one is looked at without it, and goes on with it alone.
    with pytest.raises(InputError, match="the module own_strategy_that_is_not_there cannot be imported"):
        run_search(data, here / "run", strategy="own_strategy_that_is_not_there:Any", progress=False, **settings)
    assert not (here / "run").exists()
    assert not (here / "imported").exists()
    run_search(data, here / "run", strategy="own_strategy:HillClimbing", progress=False, **settings)
    (here / "imported").unlink()
    del sys.modules["own_strategy"]
    (here / "run" / "results.json").unlink()
    assert read_status(here / "run").state == "stopped"
    with pytest.raises(InputError, match=rf"config\.yaml: {confirm}|{confirm}"):
        run_search(data, here / "run", resume=True, progress=False)
    with pytest.raises(InputError, match=r"was begun with strategy own_strategy:HillClimbing, not random"):
        run_search(data, here / "run", strategy="random", resume=True, progress=False)
    assert not (here / "imported").exists()
