"""What candidates are fed: fitted once a run, written down, and never taken from a run of other data."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

import recnas
import recnas.data_prep
from recnas.candidates.candidate import Candidate
from recnas.candidates.defaults import DEFAULT_INPUTS, TREE_INPUTS
from recnas.candidates.evaluation import Evaluation
from recnas.candidates.network import Baseline
from recnas.candidates.recipe import Optimization, Recipe
from recnas.data import Dataset, fit_inputs
from recnas.execution.executor import ThisProcess
from recnas.features.inputs import Inputs
from recnas.features.schema import Schema
from recnas.runs.folder import inputs_folder
from recnas.runs.settings import Settings
from recnas.search import feeding
from recnas.search.context import RunContext
from recnas.search.costs import Costs
from recnas.search.feeding import keep_inputs, open_data
from recnas.search.worker import Worker
from recnas.util.console import Console
from recnas.util.errors import InputError
from tests.searches import write_movielens

CROSSED = Inputs(numbers=("columns", "bins"), bins=16, crosses=("user:item", "age:hour"), min_count=2)


@pytest.fixture(autouse=True)
def _anew() -> None:
    """As a process that has just begun."""
    feeding._open_data.cache_clear()


def never(*_: Any) -> Schema:
    raise AssertionError("it was fitted before")


def settings_of(data: Path, run: Path, **values: Any) -> Settings:
    return Settings(data=str(data), run=str(run), **values)


def begun(run: Path, data: Path, inputs: Inputs) -> Schema:
    """A run that has fitted inputs; gives what is fed."""
    run.mkdir()
    Schema.load(data).save(run)
    dataset = open_data(settings_of(data, run), inputs)
    keep_inputs(run, inputs, dataset)
    return dataset.schema


def test_what_was_fitted_is_read_by_workers_and_by_a_run_that_is_resumed(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fed = begun(tmp_path / "run", data, CROSSED)
    assert fed.to_json() == fit_inputs(Dataset(data), CROSSED).to_json()
    assert [feature.name for feature in fed.sparse if feature.joint] == ["user × item", "age × hour"]
    feeding._open_data.cache_clear()
    monkeypatch.setattr(feeding, "fit_inputs", never)
    assert open_data(settings_of(data, tmp_path / "run", inputs=CROSSED)).schema.to_json() == fed.to_json()


def test_a_data_set_is_opened_once(data: Path, tmp_path: Path) -> None:
    first = open_data(settings_of(data, tmp_path / "run"))
    assert open_data(settings_of(data, tmp_path / "run"), DEFAULT_INPUTS) is first
    assert open_data(settings_of(data, tmp_path / "run"), CROSSED) is not first
    assert open_data(settings_of(data, tmp_path / "run"), Inputs()).schema.to_json() == Schema.load(data).to_json()


def write_clicks(log: Path, numbers: bool = True) -> Path:
    rows = (f"{place % 3 // 2},{place * 7 % 23},u{place % 70},i{place % 11}" for place in range(400))
    lines = ["click,price,user,item", *rows]
    log.write_text("".join((line if numbers else re.sub(",[^,]*", "", line, count=1)) + "\n" for line in lines))
    return log


def test_what_was_fitted_to_other_data_is_not_read(tmp_path: Path) -> None:
    run, folder = tmp_path / "run", tmp_path / "set"
    log = write_clicks(tmp_path / "clicks.csv")
    inputs = Inputs(numbers=("columns", "bins"), bins=16, crosses=("user:item",))
    before = prepared(folder, log, min_count=1)
    begun(run, folder, inputs)
    shutil.rmtree(folder)
    # The same log with the same rows, of which other ids are known.
    now = prepared(folder, log, min_count=9)
    assert (now.source, now.splits) == (before.source, before.splits)
    assert now.sparse != before.sparse
    found = open_data(settings_of(folder, run, inputs=inputs))
    assert found.schema.to_json() == fit_inputs(Dataset(folder), inputs).to_json()


def prepared(folder: Path, log: Path, **options: Any) -> Schema:
    recnas.data_prep.prepare("tabular", folder, input=log, label="click", progress=False, **options)
    return Schema.load(folder)


def test_what_nobody_knows_the_data_of_is_not_read(data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    begun(run, data, CROSSED)
    (run / "schema.json").unlink()
    stale = inputs_folder(run, CROSSED) / "schema.json"
    stale.write_text(stale.read_text().replace("user", "nobody"))
    found = open_data(settings_of(data, run, inputs=CROSSED))
    assert found.schema.to_json() == fit_inputs(Dataset(data), CROSSED).to_json()


def test_a_run_that_is_made_anew_from_other_data_is_fed_these(data: Path, tmp_path: Path) -> None:
    run, now = tmp_path / "run", tmp_path / "set"
    final = {"epochs": 1, "evaluations": 1, "optimization": {"batch_size": 400}}
    recnas.baselines(data, run, models=["lr"], progress=False, final=final)
    log = write_movielens(tmp_path / "raw", ratings=900, seed=3)
    recnas.data_prep.prepare("movielens", now, input=log, progress=False)
    recnas.baselines(now, run, models=["lr"], progress=False, overwrite=True, final=final)
    folders = list((run / "inputs").iterdir())
    assert folders == [inputs_folder(run, DEFAULT_INPUTS)]
    assert Schema.load(folders[0]).to_json() == fit_inputs(Dataset(now), DEFAULT_INPUTS).to_json()


def test_whatever_is_trained_has_its_inputs_in_the_run(data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    settings, dataset = settings_of(data, run), Dataset(data)
    recipe = Recipe(Optimization(0.1, 400))
    kinds = [Inputs(), CROSSED, Inputs(numbers=("field",)), Inputs(numbers=("piecewise", "missing"), pieces=8)]
    evaluations = [Evaluation(Candidate(Baseline("lr"), recipe, inputs), 1.0) for inputs in kinds]
    with ThisProcess(Worker, (settings,)) as workers:
        context = RunContext(run, settings, dataset, Costs(settings, dataset), workers, Console(False))
        results = list(context.train(evaluations))
        context.history.close()
    assert all(result.training.finished for result in results)
    # The data set's own is the run's.
    assert {path.name for path in (run / "inputs").iterdir()} == {inputs.id for inputs in kinds[1:]}
    for inputs in kinds[1:]:
        assert Schema.load(inputs_folder(run, inputs)).to_json() == fit_inputs(dataset, inputs).to_json()


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (Inputs(crosses=("user:nobody",)), "--cross user:nobody: there is no feature nobody; there are age"),
        (Inputs(crosses=("user:genres",)), "genres is a list of ids"),
    ],
)
def test_what_cannot_be_fed_is_one_line_before_anything_is_made(
    data: Path, tmp_path: Path, inputs: Inputs, message: str
) -> None:
    with pytest.raises(InputError, match=message) as refused:
        recnas.baselines(data, tmp_path / "run", models=["lr"], progress=False, inputs=inputs.to_json())
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "run").exists()


def test_without_numbers_ways_to_feed_them_are_refused_but_for_the_usual_ones(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    prepared(folder, write_clicks(tmp_path / "clicks.csv", numbers=False))
    settings = settings_of(folder, tmp_path / "run")
    for usual in (DEFAULT_INPUTS, TREE_INPUTS):
        assert open_data(settings, usual).schema.num_fields == 2
    with pytest.raises(InputError, match="there are no numbers to be fed as piecewise; leave --numbers out"):
        open_data(settings, Inputs(numbers=("piecewise",)))
