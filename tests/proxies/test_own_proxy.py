"""A proxy of a user's own needs nothing in the package, and says of itself what recnas's own say."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest

from recnas.proxies.expression import Expression
from recnas.proxies.registry import find_proxy
from recnas.report import write_report
from recnas.runs.plan import read_plan
from recnas.runs.settings import Settings
from recnas.runs.status import read_status
from recnas.search import run_search
from recnas.study import run_study
from recnas.study.status import read_study_status
from recnas.util.errors import InputError
from tests.own_code import PROXIES, here
from tests.searches import data, history_of, small

__all__ = ["data", "here", "small"]

BLOCKS_READ, STEADINESS, UNDECLARED = (f"own_proxies:{name}" for name in ("blocks_read", "steadiness", "undeclared"))


@pytest.fixture(autouse=True)
def module(here: Path) -> Path:
    file = here / "own_proxies.py"
    file.write_text(PROXIES)
    return file


def test_it_ranks_and_warms_up_as_it_declares() -> None:
    assert Expression.parse(BLOCKS_READ).weights == {BLOCKS_READ: -1.0}
    assert Expression.parse(STEADINESS).weights == {STEADINESS: 1.0}
    assert Expression.parse(UNDECLARED).weights == {UNDECLARED: 1.0}
    # In a sum every sign is the user's.
    assert Expression.parse(f"jacov + {BLOCKS_READ}").weights == {"jacov": 1.0, BLOCKS_READ: 1.0}
    asked = [Settings.from_mapping({"proxy": {"score": score}}) for score in (BLOCKS_READ, STEADINESS, UNDECLARED)]
    assert [settings.warmup_amount for settings in asked] == [0.0, 0.0, 0.01]
    assert [settings.ranking.inherits for settings in asked] == [False, True, True]
    assert [settings.warms_up for settings in asked] == [False, False, True]


def test_it_can_be_called_as_the_function_that_it_is(make_case) -> None:
    case = make_case("nasrec-small")
    inputs = case.candidate(case.supernet.network.space.sample(random.Random(0)))
    for name in (BLOCKS_READ, STEADINESS):
        found = find_proxy(name)
        assert getattr(sys.modules["own_proxies"], name.partition(":")[2])(inputs) == found(inputs) > 0


def test_what_it_cannot_declare_is_told_in_one_line(module: Path) -> None:
    module.write_text(PROXIES.replace('"lower"', '"down"'))
    with pytest.raises(InputError, match="direction is 'down'; a proxy declares one of higher, lower") as error:
        find_proxy(BLOCKS_READ)
    assert "\n" not in str(error.value)


def test_a_search_ranks_by_it_and_is_looked_at_without_its_code(
    module: Path, here: Path, data: Path, small: dict
) -> None:
    run = here / "run"
    # More rows than there are, which what looks at no weights does not need.
    settings = small | {"warmup": {}, "proxy": {"score": BLOCKS_READ, "batch_size": 10**6}}
    run_search(data, run, progress=False, **settings)
    history = history_of(run)
    assert [line["score"] for line in history] == [-line["proxies"][BLOCKS_READ] for line in history]
    assert len({line["score"] for line in history}) > 1
    assert not (run / "supernet").exists()
    assert read_plan(run).names == ("search", "final training", "ensemble", "test")
    # An unfinished run too tells its stages by its plan.
    (run / "results.json").unlink()
    del sys.modules["own_proxies"]
    module.write_text("raise ValueError('imported')\n")
    assert read_status(run).stages == ("search", "final training", "ensemble", "test")
    write_report(run)
    assert "own_proxies" not in sys.modules


@pytest.mark.slow
def test_a_study_judges_it_in_its_direction_and_is_looked_at_and_judged_anew_without_its_code(
    module: Path, here: Path, data: Path
) -> None:
    run, settings = here / "run", {"warmup": {"probe_candidates": 0}, "proxy": {"batch_size": 8, "batches": 2}}
    settings |= {"candidates": 5, "seeds": 1, "warmups": [0, 0.1], "shares": [], "workers": 1}
    names = [BLOCKS_READ, STEADINESS, "loss"]
    results = run_study(data, run, progress=False, proxies=names, rankings=[], **settings)
    assert results["proxies"][BLOCKS_READ] == {"direction": "lower", "weights": "none", "reads": "arch"}
    shown = [(row["ranking"], row["warmup"]) for row in results["agreement"]]
    # No warm-up changes it.
    assert shown.count((BLOCKS_READ, None)) == 1
    assert shown.count((STEADINESS, 0.1)) == 1
    taus = {row["ranking"]: row["tau"] for row in results["agreement"]}
    del sys.modules["own_proxies"]
    module.write_text("raise ValueError('imported')\n")
    assert read_study_status(run).state == "finished"
    assert BLOCKS_READ in write_report(run).read_text()
    again = run_study(
        data, run, progress=False, resume=True, proxies=names, rankings=[f"-{BLOCKS_READ}", f"+{BLOCKS_READ}"]
    )
    anew = {row["ranking"]: row["tau"] for row in again["agreement"]}
    # Alone it ranks as if it had the sign.
    assert anew[BLOCKS_READ] == taus[BLOCKS_READ] == anew[f"-{BLOCKS_READ}"]
    assert anew[f"+{BLOCKS_READ}"] == -anew[BLOCKS_READ] != 0
    assert again["proxies"] == results["proxies"]
    assert "own_proxies" not in sys.modules
