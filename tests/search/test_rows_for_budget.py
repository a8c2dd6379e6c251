"""A log that is too large for a budget in time: fewer of its rows are learned from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import recnas
from recnas.candidates.defaults import own_candidate
from recnas.data import Dataset
from recnas.features.schema import Schema
from recnas.report import write_report
from recnas.runs.final_settings import FinalSettings
from recnas.runs.settings import Settings
from recnas.search import rows_for_budget
from recnas.search.feeding import LEAST_VALIDATION, TRAIN_ROWS_A_VALIDATION
from recnas.search.rows_for_budget import SHARE_OF_BUDGET, fitted_to_budget, rows_within
from recnas.search.testing import FORWARD_ALONE
from recnas.util.console import Console

GROUP_ROWS = 50


@pytest.fixture(scope="module")
def in_groups(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data set of these tests, in small row groups."""
    folder = tmp_path_factory.mktemp("groups")
    for split in ("train", "validation", "test"):
        (folder / split).mkdir()
        rows = pl.read_parquet(data / split / "*.parquet")
        rows.write_parquet(folder / split / "part-00000.parquet", row_group_size=GROUP_ROWS)
    Schema.load(data).save(folder)
    return folder


def settings_of(data: Path, **more: Any) -> Settings:
    return Settings(data=str(data), run=str(data / "run"), **{"budget": "10s"} | more)


@pytest.mark.parametrize("pace", [1e5, 1.68e5, 1e9])
def test_a_training_of_all_passes_takes_a_share_of_the_budget(
    in_groups: Path, monkeypatch: pytest.MonkeyPatch, pace: float, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(rows_for_budget, "SLOWEST", 1)
    monkeypatch.setattr(rows_for_budget, "_rows_a_second", lambda settings, candidate: pace)
    found = fitted_to_budget(settings_of(in_groups), Dataset(in_groups), False, Console(True))
    if pace == 1e9:
        assert found.train_rows is None
    else:
        recipe = rows_for_budget._yardstick(settings_of(in_groups), Dataset(in_groups)).recipe
        assert found.train_rows == rows_within(SHARE_OF_BUDGET * 10, pace, recipe)
        assert f"about {found.train_rows} of" in capsys.readouterr().err


@given(st.floats(1, 1e5), st.floats(1e2, 1e6))
def test_what_is_measured_counts(seconds: float, pace: float) -> None:
    recipe = own_candidate("dcnv2").recipe
    rows = rows_within(seconds, pace, recipe)
    validation = max(rows / TRAIN_ROWS_A_VALIDATION, LEAST_VALIDATION)
    taken = recipe.epochs * (rows + recipe.evaluations * FORWARD_ALONE * validation) / pace
    assert rows == 1 or taken == pytest.approx(seconds, rel=0.01, abs=recipe.epochs / pace)


def test_the_pace_is_told_by_a_network_that_the_search_would_train(in_groups: Path) -> None:
    def told_by(**more: Any) -> Any:
        return rows_for_budget._yardstick(settings_of(in_groups, **more), Dataset(in_groups))

    assert told_by().network.name == "dcnv2"
    assert told_by(space="lr").network.name == "lr"
    assert told_by(space="lightgbm") is None
    assert told_by(final=FinalSettings(epochs=1)).passes == 1


def test_nothing_is_tried_out_where_that_is_known(in_groups: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def tried(*given: object) -> float:
        raise AssertionError("it was tried out")

    monkeypatch.setattr(rows_for_budget, "_rows_a_second", tried)
    enough = settings_of(in_groups, budget="1h")
    assert fitted_to_budget(enough, Dataset(in_groups), False, Console(False)) is enough
    monkeypatch.setattr(rows_for_budget, "SLOWEST", 1)
    for known in (settings_of(in_groups, budget="4c"), settings_of(in_groups, train_rows=70)):
        assert fitted_to_budget(known, Dataset(in_groups), False, Console(False)) is known


def test_a_search_learns_from_fewer_rows_and_its_run_says_so(
    in_groups: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = {"space": "lr,dnn", "budget": "2c", "final": {"epochs": 1, "evaluations": 1}}
    recnas.search(in_groups, tmp_path / "run", train_rows=120, **given)
    rows = json.loads((tmp_path / "run" / "results.json").read_text())["data"]["rows"]
    assert rows["train"] == 150
    page = write_report(tmp_path / "run").read_text()
    assert f"150 of {Schema.load(in_groups).rows('train'):,} train" in page
    assert "data: 150 of " in capsys.readouterr().err
    assert yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["train_rows"] == 120
    lines = (tmp_path / "run" / "history.jsonl").read_text().splitlines()
    assert {json.loads(line)["training"]["epochs"][-1]["rows"] for line in lines} == {150}


def test_the_pace_of_a_training_is_measured(in_groups: Path) -> None:
    assert rows_for_budget._rows_a_second(settings_of(in_groups), own_candidate("dnn")) > 0
