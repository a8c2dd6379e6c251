"""A whole study: its files, and that it ends the same whatever happens to it."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from recnas.candidates.candidate import Candidate, network_id_in
from recnas.cli import main
from recnas.data import Dataset
from recnas.nn.model import sizes
from recnas.proxies.registry import PROXIES as ALL
from recnas.search import run_baselines, run_search
from recnas.search.costs import Costs
from recnas.space import cost
from recnas.study import run_study
from recnas.study.run import draw_candidates
from recnas.study.scores import proxy_names
from recnas.study.settings import StudySettings
from recnas.util.errors import InputError, RunError
from tests.stopping import Stopped, stop_at
from tests.study.conftest import PROXIES, found


def test_a_study_leaves_figures_and_tables_and_no_weights(undisturbed: Path) -> None:
    assert {path.name for path in undisturbed.iterdir()} == {
        "agreement.csv",
        "candidates.csv",
        "config.yaml",
        "inputs",
        "plan.json",
        "results.json",
        "schema.json",
        "scores.jsonl",
        "study.md",
        "trainings",
        "warmups",
    }
    assert list(undisturbed.rglob("*.safetensors")) == []
    assert len(list(undisturbed.glob("trainings/*/models/*/result.json"))) == 5 * 2
    results = json.loads((undisturbed / "results.json").read_text())
    rankings = [(row["ranking"], row["warmup"]) for row in results["agreement"]]
    # What no warm-up changes is there once; a short training last.
    sums = ["sigeo", "zico - 30*loss"]
    inherited = [*(name for name in PROXIES if ALL[name].declaration.inherits), *sums, "fitted"]
    inherited += [f"standardised {name}" for name in sums]
    expected = [(name, None) for name in PROXIES if not ALL[name].declaration.inherits]
    expected += [(name, amount) for name in inherited for amount in (0.0, 0.5)]
    assert sorted(rankings[:-1], key=str) == sorted(expected, key=str)
    shares = results["candidates"][0]["shares"]
    assert rankings[-1] == (f"training {shares[0]:.2g}", None)
    assert 0.5 <= shares[0] < 0.7
    with (undisturbed / "agreement.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["ranking"] for row in rows] == [ranking for ranking, _ in rankings]
    assert float(rows[0]["tau"]) == results["agreement"][0]["tau"]
    with (undisturbed / "candidates.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == [row["id"] for row in results["candidates"]]
    assert float(rows[0]["values.0.5.zico"]) == results["candidates"][0]["values"]["0.5"]["zico"]
    table = (undisturbed / "study.md").read_text()
    assert table.startswith("# Ranking study: ")
    assert table.count("\n| ") == 2 + 1 + len(rankings)
    assert "-0." not in table


@pytest.mark.slow
def test_a_study_stopped_while_scoring_and_resumed_with_more_workers_finds_the_same(
    undisturbed: Path, data: Path, tmp_path: Path, small: dict[str, Any]
) -> None:
    run = tmp_path / "run"
    for place, count in (("recnas.study.run.warm_up_supernet", 2), ("recnas.study.worker.StudyWorker.measure", 2)):
        with pytest.MonkeyPatch.context() as patch:
            stop_at(patch, place, count)
            with pytest.raises(Stopped):
                run_study(data, run, progress=False, resume=(run / "config.yaml").exists(), **small)
    # The first supernet has been of use; the second one is being used.
    assert [path.parts[-3] for path in run.rglob("weights.safetensors")] == ["0.5"]
    run_study(data, run, progress=False, resume=True, workers=2)
    assert found(run) == found(undisturbed)
    assert list(run.rglob("*.safetensors")) == []


@pytest.fixture
def copy(undisturbed: Path, tmp_path: Path) -> Path:
    """A study that lacks its last step."""
    run = tmp_path / "run"
    shutil.copytree(undisturbed, run)
    (run / "results.json").unlink()
    return run


@pytest.mark.parametrize(("place", "count"), [("train_candidate", 3), ("write_json", 2)])
def test_a_study_stopped_while_training_ends_as_if_it_had_not_been(
    undisturbed: Path, copy: Path, data: Path, place: str, count: int
) -> None:
    for file in sorted(copy.glob("trainings/*/models/*/result.json"))[:3]:
        file.unlink()
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, f"recnas.study.trainings.{place}", count)
        with pytest.raises(Stopped):
            run_study(data, copy, progress=False, resume=True)
    assert list(copy.rglob("*.safetensors")) != []
    run_study(data, copy, progress=False, resume=True)
    assert found(copy) == found(undisturbed)
    assert list(copy.rglob("*.safetensors")) == []


def test_a_damaged_line_is_measured_again_on_a_supernet_that_is_made_again(
    undisturbed: Path, copy: Path, data: Path
) -> None:
    lines = (copy / "scores.jsonl").read_text().splitlines()
    assert len(lines) == 5 * 2
    # As after a power cut: in the second warm-up, whose supernet is gone.
    (copy / "scores.jsonl").write_text("\n".join([*lines[:8], lines[8][:50], "\0\0", ""]))
    run_study(data, copy, progress=False, resume=True)
    assert found(copy) == found(undisturbed)
    again = [json.loads(line) for line in (copy / "scores.jsonl").read_text().splitlines()]
    before = [json.loads(line) for line in lines]
    assert [(line["id"], line["values"]) for line in again] == [(line["id"], line["values"]) for line in before]


def test_scores_of_another_study_are_refused(copy: Path, data: Path) -> None:
    first, *others = (copy / "scores.jsonl").read_text().splitlines()
    (copy / "scores.jsonl").write_text("\n".join([*others, first, ""]))
    with pytest.raises(
        InputError, match=r"scores\.jsonl is of another study; remove it, and .* --resume makes it anew"
    ):
        run_study(data, copy, progress=False, resume=True)


def diverge(run: Path, count: int) -> list[str]:
    """Makes a training of some architectures one that diverged."""
    files = sorted(run.glob("trainings/1/models/*/result.json"))[:count]
    for file in files:
        file.write_text(json.dumps(json.loads(file.read_text()) | {"validation": None, "test": None, "early": []}))
    return [network_id_in(file.parent.name) for file in files]


def test_architectures_of_which_a_training_diverged_are_left_out_and_said(copy: Path, data: Path) -> None:
    gone = diverge(copy, 1)
    results = run_study(data, copy, progress=False, resume=True)
    assert results["diverged"] == gone
    assert len(results["candidates"]) == 4
    assert gone[0] not in {row["id"] for row in results["candidates"]}
    assert f"Left out, as a training diverged: {gone[0]}." in (copy / "study.md").read_text()


def test_a_study_of_which_too_few_architectures_are_left_says_so(copy: Path, data: Path) -> None:
    diverge(copy, 2)
    with pytest.raises(RunError, match="only 3 architectures were trained without diverging; lower --learning-rate"):
        run_study(data, copy, progress=False, resume=True)


def test_a_finished_study_is_left_alone_and_needs_no_data(undisturbed: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in undisturbed.rglob("*")}
    results = run_study("gone", undisturbed, progress=False, resume=True)
    assert results == json.loads((undisturbed / "results.json").read_text())
    assert {path: path.stat().st_mtime_ns for path in undisturbed.rglob("*")} == before


def test_a_finished_study_judges_other_sums_of_what_it_measured(undisturbed: Path, data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(undisturbed, run)
    before, scores = found(run), (run / "scores.jsonl").read_text()
    with pytest.raises(InputError, match=r"has not measured plain; choose another --run"):
        run_study(data, run, progress=False, resume=True, rankings=["zico - plain"])
    assert found(run) == before
    run_study(data, run, progress=False, resume=True, rankings=["synflow + fr"])
    names = {row["ranking"] for row in found(run)["agreement"]}
    assert {"synflow + fr", "standardised synflow + fr", "zico"} <= names
    assert "zico - 30*loss" not in names
    assert found(run)["candidates"] == before["candidates"]
    assert (run / "scores.jsonl").read_text() == scores
    # They are its own from now on.
    again = json.loads((run / "results.json").read_text())
    assert run_study("gone", run, progress=False, resume=True) == again
    assert run_study(data, run, progress=False, resume=True, rankings=["sigeo", "zico - 30*loss"])["agreement"]
    assert found(run) == before


def test_a_study_under_way_keeps_its_rankings(copy: Path, data: Path) -> None:
    with pytest.raises(InputError, match="begun with the rankings sigeo, zico - 30\\*loss; leave --ranking out"):
        run_study(data, copy, progress=False, resume=True, rankings=["zico"])


def test_a_search_does_not_go_on_with_a_study_nor_a_study_with_a_search(
    undisturbed: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["search", "--data", str(data), "--run", str(undisturbed), "--resume"]) == 2
    said = capsys.readouterr().err
    assert f"{undisturbed} is the folder of a study; `recnas study --run {undisturbed} --resume` resumes it" in said
    assert said.count("\n") == 1
    lines = (undisturbed / "config.yaml").read_text().splitlines(keepends=True)
    own = ("candidates:", "seeds:", "warmups:", "proxies:", "rankings:", "shares:", "- ")
    (tmp_path / "config.yaml").write_text("".join(line for line in lines if not line.startswith(own)))
    assert main(["study", "--data", str(data), "--run", str(tmp_path), "--resume"]) == 2
    said = capsys.readouterr().err
    assert f"{tmp_path} is the folder of a search; `recnas search --run {tmp_path} --resume` resumes it" in said
    assert said.count("\n") == 1


def test_what_rankings_are_made_of_is_measured_too() -> None:
    settings = StudySettings(proxies=("my_module:depth", "zico"), rankings=("zico - fr",))
    assert proxy_names(settings) == ["my_module:depth", "zico", "fr"]


def test_what_does_not_fit_leaves_no_folder_behind(data: Path, tmp_path: Path, small: dict[str, Any]) -> None:
    for given, said in (
        ({"proxies": ["zic"], "proxy": {"batch_size": 4000}}, "no proxy is named 'zic'"),
        ({"rankings": ["zico - los"]}, "no proxy is named 'los'"),
        ({"proxy": {"batch_size": 4000}}, "make them smaller with --proxy-batch-size"),
    ):
        with pytest.raises(InputError, match=said):
            run_study(data, tmp_path / "run", progress=False, **{**small, **given})
    assert not (tmp_path / "run").exists()
    with pytest.raises(InputError, match="take one of them"):
        run_study(data, tmp_path / "run", overwrite=True, resume=True)


def test_the_package_is_the_function_and_needs_no_torch_to_be_named() -> None:
    import recnas

    assert recnas.study is __import__("recnas.study", fromlist=["_"])
    with pytest.raises(InputError, match="--data, the data set's folder, and --run"):
        recnas.study()


def test_a_search_does_not_replace_a_study(copy: Path, data: Path) -> None:
    before = (copy / "scores.jsonl").read_bytes()
    with pytest.raises(InputError, match="was made by `recnas study`, so it is not replaced"):
        run_search(data, copy, overwrite=True, progress=False, proxy={"batch_size": 8, "batches": 2})
    with pytest.raises(InputError, match="study"):
        run_baselines(data, copy, overwrite=True, progress=False)
    assert (copy / "scores.jsonl").read_bytes() == before


def test_candidates_are_within_the_limits(data: Path) -> None:
    def draw(most: int | None) -> list[Candidate]:
        values = {"data": str(data), "candidates": 8, "limits": {"max_macs": most}}
        settings = StudySettings.from_mapping(values)
        return draw_candidates(settings, Costs(settings, Dataset(data)))

    costs = [cost.macs(item.network, *sizes(Dataset(data).schema)) for item in draw(300_000)]
    assert len(costs) == 8
    assert max(costs) <= 300_000
    assert max(cost.macs(item.network, *sizes(Dataset(data).schema)) for item in draw(None)) > 300_000
    with pytest.raises(InputError, match=r"found only \d of 8 distinct candidates of .* within the limits"):
        draw(3_000)
