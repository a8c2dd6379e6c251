"""A search space of a user's own needs nothing in the package."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from recnas.report import write_report
from recnas.runs.status import read_status
from recnas.search import run_search
from recnas.space import SearchSpace, check_space_name
from recnas.util.errors import InputError
from tests.own_code import SPACES, here
from tests.searches import data, small

__all__ = ["data", "here", "small"]


def test_a_space_is_a_function_that_gives_one_or_a_space_itself(here: Path) -> None:
    (here / "own_space.py").write_text(f"{SPACES}\nmade = deep_cross()\nother = 3\ndef fails():\n    return 1 / 0\n")
    space = SearchSpace.named("own_space:deep_cross")
    assert space.name == "deep-cross"
    assert SearchSpace.named("own_space:made") == space
    with pytest.raises(InputError, match="search space own_space:other: is a int, where a SearchSpace is expected"):
        SearchSpace.named("own_space:other")
    with pytest.raises(InputError, match=r"search space own_space:fails: failed \(ZeroDivisionError"):
        SearchSpace.named("own_space:fails")


def test_a_name_is_looked_at_without_importing_it(here: Path) -> None:
    check_space_name("not_there:deep_cross")
    with pytest.raises(InputError, match="no search space is named 'deep'"):
        check_space_name("deep")


@pytest.mark.slow
def test_a_search_of_an_own_space_is_looked_at_without_its_code(here: Path, data: Path, small: dict) -> None:
    (here / "own_space.py").write_text(SPACES)
    settings = small | {"proxy": {"score": "naswot", "batch_size": 16}, "final": {"top_k": 1, "baselines": []}}
    results = run_search(data, here / "run", space="own_space:deep_cross", workers=2, progress=False, **settings)
    assert results["space"] == "own_space:deep_cross"
    del sys.modules["own_space"]
    (here / "own_space.py").write_text("raise ValueError('imported')\n")
    assert read_status(here / "run").state == "finished"
    assert "cross" in write_report(here / "run").read_text()
    with pytest.raises(InputError, match="its search space runs code of the module own_space; give --space own_space:"):
        run_search(data, here / "run", resume=True, progress=False)
    assert "own_space" not in sys.modules
