"""Strategies held against each other, from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from recnas.bench.run import PAGE, REFERENCE, RESULTS
from recnas.cli.commands import main
from tests.bench.tables import made_up, save, space_of


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("table") / "made-up.parquet"
    save(made_up(100, space_of(("deepfm", "dcnv2"), None)), file)
    return file


def test_searches_of_strategies_are_ranked_the_same_with_any_number_of_workers(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [str(file), "--strategies", "uniform", "--seeds", "4", "--trainings", "10", "--quiet"]
    for workers in ("1", "2"):
        assert main(["bench", "run", *given, "--workers", workers, "--run", str(tmp_path / workers)]) == 0
    results = [json.loads((tmp_path / workers / RESULTS).read_text()) for workers in ("1", "2")]
    assert results[0]["anytime"] == results[1]["anytime"]
    assert {line["strategy"] for line in results[0]["standings"]["10"]} == {"uniform", REFERENCE}
    assert all(regret >= 0 for line in results[0]["anytime"] for regret in line["low"])
    for line in results[0]["anytime"]:
        assert line["mean"][-1] <= line["mean"][0]
    page = (tmp_path / "1" / "report.html").read_text(encoding="utf-8")
    assert "Regret over time" in page
    assert "has the best mean rank" in page
    assert "| strategy | regret after 1 |" in (tmp_path / "1" / PAGE).read_text()
    assert "uniform" in capsys.readouterr().out


def test_a_strategy_that_trains_nothing_and_one_that_nobody_knows_are_refused(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, said in (("evolution", "evolution ranks candidates"), ("nothing", "strategy is 'nothing'")):
        assert main(["bench", "run", str(file), "--strategies", name, "--run", str(tmp_path / name)]) == 2
        assert said in capsys.readouterr().err
        assert not (tmp_path / name).exists()


def test_a_table_says_what_it_is(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "show", str(file)]) == 0
    shown = capsys.readouterr().out
    assert "100 random choices, recipes and inputs of deepfm, dcnv2" in shown
    assert "SHA-256" in shown


def test_what_is_there_is_not_replaced(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = [str(file), "--strategies", REFERENCE, "--seeds", "2", "--trainings", "4", "--quiet", "--workers", "1"]
    run, other = tmp_path / "run", tmp_path / "search"
    other.mkdir()
    (other / "config.yaml").write_text("seed: 1\n")
    assert main(["bench", "run", *given, "--run", str(other), "--overwrite"]) == 2
    assert "has config.yaml; choose another --run" in capsys.readouterr().err
    assert main(["bench", "run", *given, "--run", str(run)]) == 0
    # Of one strategy alone there is no difference of ranks.
    results = json.loads((run / RESULTS).read_text())
    assert results["critical_difference"] is None
    assert results["budgets"] == [1, 2, 3, 4]
    assert main(["bench", "run", *given, "--run", str(run)]) == 2
    assert "has an earlier comparison" in capsys.readouterr().err
    assert main(["bench", "run", *given, "--run", str(run), "--overwrite"]) == 0


def test_of_a_grammar_s_networks_those_strategies_are_left_out_that_need_choices(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "grammar.parquet"
    save(made_up(300, space_of(space="hierarchical")), file)
    given = [str(file), "--seeds", "1", "--trainings", "3", "--quiet", "--workers", "1"]
    assert main(["bench", "run", *given, "--strategies", "reinforce", "--run", str(tmp_path / "refused")]) == 2
    assert "has rules in the place of choices" in capsys.readouterr().err
    assert main(["bench", "run", *given, "--run", str(tmp_path / "run")]) == 0
    known = {line["strategy"] for line in json.loads((tmp_path / "run" / RESULTS).read_text())["anytime"]}
    assert {REFERENCE, "evolution-trained", "local-search", "bananas"} <= known
    assert not known & {"reinforce", "tpe", "gp"}
