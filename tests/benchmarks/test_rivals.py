"""What the comparison of a search with its rivals says, from made-up results, and from runs on a few rows."""

from __future__ import annotations

import random
import statistics
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml
from scipy import stats

import recnas
from benchmarks.rivals import affordable, best_of, difference, main, table
from recnas.candidates.candidate import Candidate
from recnas.candidates.evaluation import Evaluation, Result
from recnas.candidates.recipe import Recipe
from recnas.data_prep import prepare
from recnas.nn.model import sizes
from recnas.runs.folder import SEARCH
from recnas.runs.history import History
from recnas.runs.settings import Settings
from recnas.search.feeding import open_data
from recnas.space import SearchSpace, cost
from recnas.util.files import read_json

pytestmark = pytest.mark.slow


def model(id_: str, validation: float, test: float, **more: Any) -> dict[str, Any]:
    quality = {"validation": {"log_loss": validation, "auc": 0.5}, "test": {"log_loss": test, "auc": 0.5}}
    return {"id": id_, "kind": "searched", "status": "trained", "parameters": 10, **quality} | more


def runs(search: float, others: float) -> dict[str, Any]:
    found = {"minutes": 1.0, "search": {"candidates": 8}}
    return {
        "search": found | {"models": [model("a", 0.5, search), model("b", 0.6, 0.1)]},
        "random": found | {"models": [model("c", 0.5, others), {"id": "d", "kind": "searched", "status": "diverged"}]},
        "baselines": {"models": [model("dlrm", 0.5, others), model("lr", 0.6, 0.2)]},
    }


def test_every_choice_is_made_on_validation() -> None:
    dropped = {"kind": "searched", "status": "dropped"}
    assert best_of({"models": [model("a", 0.5, 0.9), model("b", 0.6, 0.1), dropped]})["id"] == "a"


def test_differences_are_paired_by_seed() -> None:
    ours, theirs = [0.50, 0.52, 0.54], [0.51, 0.53, 0.56]
    assert difference(ours, theirs).startswith("-0.0133 (")
    assert difference(ours, theirs).endswith(f"p = {stats.ttest_rel(ours, theirs).pvalue:.2g}")
    assert difference([0.5], [0.4]) == "+0.1000"
    assert difference([0.5, 0.6], [0.4, 0.5]) == "+0.1000"


def test_the_table_has_every_rival_and_says_who_is_ahead() -> None:
    text = table([runs(0.50, 0.51), runs(0.52, 0.54)])
    assert "| search | 0.5000 ± 0.0000 | 0.5100 ± 0.0141 |" in text
    assert "- random search: -0.0150 (" in text
    assert "- lr: +0.3100 (" in text
    assert "Best baseline, by seed: dlrm, dlrm." in text


def test_a_model_of_some_of_the_seeds_has_a_row_and_no_difference() -> None:
    first, second = runs(0.50, 0.51), runs(0.52, 0.54)
    first["baselines"]["models"] += [
        # Ahead of all others on validation, but not in the other seed.
        model("deepfm", 0.3, 0.4),
        {"id": "xdeepfm", "kind": "baseline", "status": "diverged"},
    ]
    text = table([first, second])
    assert "| deepfm, 1 of the seeds | 0.3000 ± 0.0000 | 0.4000 ± 0.0000 |" in text
    assert "Best baseline, by seed: dlrm, dlrm." in text
    assert "- dlrm: " in text
    assert "- deepfm: " not in text
    assert "xdeepfm" not in text


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("rivals") / "data"
    prepare("synthetic", output, rows=600, seed=0)
    return output


def test_random_search_has_as_much_work_as_the_time_allows(data: Path, tmp_path: Path) -> None:
    space, rng = SearchSpace.named("nasrec-small"), random.Random(0)
    drawn = [space.sample(rng) for _ in range(20)]
    # What evolution made of them later does not count.
    settings = Settings.from_mapping(
        {
            "data": str(data),
            "run": str(tmp_path),
            "workers": 2,
            "final": {"other_learning_rates": [1, 2, 3], "optimization": {"learning_rate": 3}},
        }
    )
    schema = open_data(settings).schema
    mean = statistics.mean(cost.macs(arch, *sizes(schema)) for arch in drawn)
    recipe = Recipe(settings.final.optimization)
    evaluations = [Evaluation(Candidate(arch, recipe)) for arch in drawn]
    evaluations.append(Evaluation(Candidate(space.full_path(), recipe), iteration=1))
    with closing(History(tmp_path)) as history:
        for evaluation in evaluations:
            history.add(SEARCH, Result(evaluation, 0.0, 1.0))
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(settings.to_mapping()))
    (tmp_path / "supernet").mkdir()
    (tmp_path / "supernet" / "warmup.json").write_text('{"seconds": 20.0}')
    # A training of a random candidate takes 10 s; the search took 20 + 223 + (15 + 99) / 2 = 300 s of both workers. Two
    # rates are for the best alone.
    trained = {"status": "trained", "macs": mean / 2, "learning_rates": [1, 2, 3], "seconds": 15.0}
    models = [trained, {"status": "dropped", "seconds": 99.0}]
    assert affordable(settings, {"search": {"seconds": 223.0}, "models": models}) in (58, 59)


def test_what_does_not_fit_is_said_in_one_line(data: Path, tmp_path: Path) -> None:
    for arguments, said in (
        ([str(tmp_path / "gone")], "gone"),
        ([str(data), "--preset", "gone"], "no preset or file 'gone'"),
        ([str(data), "--proxy", "gone"], "no proxy is named 'gone'"),
    ):
        with pytest.raises(SystemExit, match=said) as error:
            main([*arguments, "--output", str(tmp_path / "runs")])
        assert "\n" not in str(error.value)


def test_runs_are_made_once_and_compared(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = "--proxy parameters --population 2 --iterations 0 --tournament 1 --children 1 --top-k 1 --workers 1"
    command = [str(data), "--seeds", "1", "--models", "lr", "--output", str(tmp_path), *small.split()]
    command.append("--other-learning-rates")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("benchmarks.rivals.affordable", lambda *_: 1)
        main(command)
        first, made = capsys.readouterr().out, (tmp_path / "random-0" / "results.json").stat().st_mtime_ns
        main(command)
    assert capsys.readouterr().out == first
    assert (tmp_path / "random-0" / "results.json").stat().st_mtime_ns == made
    assert (tmp_path / "table.md").read_text() in first
    assert "| lr |" in first
    # Another baseline is added to the seed, and stays.
    recnas.baselines(run=tmp_path / "baselines-0", models=["deepfm"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("benchmarks.rivals.affordable", lambda *_: 1)
        main(command)
    assert "| deepfm |" in capsys.readouterr().out


def test_a_search_of_two_stages_is_compared_too(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stages = [
        "--proxy",
        "jacov | short_training",
        "--proxy-batch-size",
        "16",
        "--rerank",
        "2",
        "--short-training-rows",
        "128",
    ]
    small = "--population 3 --iterations 0 --tournament 1 --children 1 --top-k 2 --finalists halving --workers 1"
    command = [str(data), "--seeds", "1", "--models", "lr", "--output", str(tmp_path), *stages, *small.split()]
    main([*command, "--other-learning-rates"])
    assert "\nsearch: 3 candidates and " in capsys.readouterr().out
    random_run = read_json(tmp_path / "random-0" / "results.json")
    assert random_run["search"]["candidates"] == len(random_run["models"])
