"""A strategy of a user's own that trains candidates: named or passed, within budget and limits, and looked at later."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

import recnas
from recnas.candidates.evaluation import Evaluation, Result
from recnas.report import write_report
from recnas.runs.settings import Settings
from recnas.runs.status import read_status
from recnas.strategies.base import Strategy
from recnas.util.errors import InputError
from tests.own_code import TRAINERS, here
from tests.searches import data, read_lines_of
from tests.stopping import Stopped, stop_at

__all__ = ["data", "here"]

NAME = "own_trainers:OneOfEachKind"
SETTINGS: dict[str, Any] = {
    "space": "lr,dnn,dcnv2",
    "seed": 3,
    "checkpoint_seconds": 0.0,
    "final": {"epochs": 2, "evaluations": 1, "ensemble": 1},
}


@pytest.fixture(autouse=True)
def module(here: Path) -> Path:
    file = here / "own_trainers.py"
    file.write_text(TRAINERS)
    return file


def asked(run: Path) -> list[tuple[str, float]]:
    """What was trained how far, in its order."""
    return [(line["id"].partition("-")[0], line["fidelity"]) for line in read_lines_of(run / "history.jsonl")]


def test_it_trains_and_its_run_is_looked_at_without_its_code(here: Path, data: Path, module: Path) -> None:
    run = here / "run"
    results = recnas.search(data, run, strategy=NAME, budget="9c", progress=False, **SETTINGS)
    trained = asked(run)
    assert trained[:3] == [("lr", 0.5), ("dnn", 0.5), ("dcnv2", 0.5)]
    assert len(trained) == 5
    assert {fidelity for _, fidelity in trained[3:]} == {1.0}
    assert results["best"] in {name for name, _ in trained[3:]}
    assert not (run / "supernet").exists()
    assert yaml.safe_load((run / "config.yaml").read_text())["strategy_trains"] is True
    (run / "results.json").unlink()
    del sys.modules["own_trainers"]
    module.write_text("raise ValueError('imported')\n")
    assert read_status(run).stages == ("search", "final training", "test")
    write_report(run)
    assert "own_trainers" not in sys.modules


def test_it_may_be_passed_and_a_run_that_was_killed_ends_as_if_it_had_not_been(here: Path, data: Path) -> None:
    recnas.search(data, here / "named", strategy=NAME, budget="9c", progress=False, **SETTINGS)
    from own_trainers import OneOfEachKind

    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, "recnas.runs.history.History.add", 4)
        with pytest.raises(Stopped):
            recnas.search(data, here / "run", strategy=OneOfEachKind(), budget="9c", progress=False, **SETTINGS)
    assert len(asked(here / "run")) == 4
    recnas.search(data, here / "run", strategy=OneOfEachKind(), resume=True, progress=False)
    assert asked(here / "run") == asked(here / "named")
    scores = [[line["score"] for line in read_lines_of(here / name / "history.jsonl")] for name in ("run", "named")]
    assert scores[0] == scores[1]


def test_it_is_asked_no_more_when_its_budget_is_spent_and_goes_on_with_more(here: Path, data: Path) -> None:
    class Asking(Strategy):
        """Asks for two candidates at once, for ever."""

        trains = True

        def ask(self) -> list[Evaluation]:
            return [Evaluation(self.problem.space.draw(self.problem.rng, kind), 1.0) for kind in ("lr", "dnn")]

        def tell(self, results: Sequence[Result]) -> None:
            assert len(results) == 2

    Asking.__module__ = "own_asking"
    run, small = here / "run", SETTINGS | {"space": "lr,dnn"}
    recnas.search(data, run, strategy=Asking(), budget="3c", progress=False, **small)
    assert [name for name, _ in asked(run)] == ["lr", "dnn", "lr"]
    recnas.search(data, run, strategy=Asking(), budget="+2c", resume=True, progress=False)
    assert [name for name, _ in asked(run)] == ["lr", "dnn", "lr", "dnn", "lr"]
    recnas.search(data, here / "timed", strategy=Asking(), budget="1s", progress=False, **small)
    assert read_lines_of(here / "timed" / "history.jsonl")


@pytest.mark.parametrize(
    ("code", "given", "said"),
    [
        ("Evaluation(self.problem.space.own('lr'))", {}, "asked for proxies of lr-"),
        ("Evaluation(self.problem.space.own('dnn'), 1.0)", {"limits": {"max_macs": 100}}, "asked for dnn-.*limits"),
        ("1 / 0", {}, r"failed when asked \(ZeroDivisionError: division by zero\)"),
        ("0", {}, "asked for 0; ask gives evaluations of candidates"),
    ],
)
def test_what_goes_wrong_in_it_is_one_line(here: Path, data: Path, code: str, given: dict[str, Any], said: str) -> None:
    (here / "wrong_trainers.py").write_text(
        "from recnas.candidates.evaluation import Evaluation\n"
        "from own_trainers import OneOfEachKind\n"
        f"class Wrong(OneOfEachKind):\n    def ask(self): return [{code}]\n"
    )
    sys.modules.pop("wrong_trainers", None)
    with pytest.raises(InputError, match=f"^strategy wrong_trainers:Wrong:? {said}") as error:
        recnas.search(
            data, here / "run", strategy="wrong_trainers:Wrong", budget="9c", progress=False, **SETTINGS | given
        )
    assert "\n" not in str(error.value)


def test_settings_that_do_not_fit_it_are_refused_once_it_is_known_whether_it_trains(here: Path, data: Path) -> None:
    with pytest.raises(InputError, match=f"{NAME} trains its candidates: leave what is said of ranking"):
        recnas.search(data, here / "run", strategy=NAME, proxy={"score": "sigeo"}, progress=False)
    (here / "own_rankers.py").write_text(
        "from recnas.strategies.random_search import RandomSearch\nclass Own(RandomSearch): pass\n"
    )
    sys.modules.pop("own_rankers", None)
    with pytest.raises(InputError, match="--budget is of a search that trains its candidates; own_rankers:Own ranks"):
        recnas.search(data, here / "run", strategy="own_rankers:Own", budget="9c", progress=False)
    assert not (here / "run").exists()
    # Settings alone import nothing.
    unknown = Settings(strategy="not_there:Any", space="lr,dnn", budget="3c")
    assert unknown.is_undecided
    assert not unknown.trains
    assert Settings(strategy="not_there:Any", strategy_trains=True).trains
    assert not Settings(strategy="not_there:Any", strategy_trains=False).is_undecided
    assert not Settings(strategy="evolution", strategy_trains=True).trains
