"""`recnas status` of a study at each stage."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from recnas.cli import main
from recnas.study.status import read_study_status


@pytest.fixture
def run(undisturbed: Path, tmp_path: Path) -> Path:
    """A study whose trainings have begun."""
    folder = tmp_path / "run"
    shutil.copytree(undisturbed, folder)
    (folder / "results.json").unlink()
    shutil.rmtree(folder / "trainings" / "1")
    return folder


def test_each_stage_is_known_with_how_far(run: Path) -> None:
    status = read_study_status(run)
    assert (status.state, status.stage, status.stages.index(status.stage)) == ("stopped", "training", 4)
    assert (status.progress.done, status.progress.total) == (5, 10)
    assert status.progress.rate > 0
    lines = (run / "scores.jsonl").read_text().splitlines(keepends=True)
    (run / "scores.jsonl").write_text("".join(lines[:6]))
    status = read_study_status(run)
    assert status.stage == "scoring after warm-up 0.5"
    assert (status.progress.done, status.progress.total, status.progress.unit) == (1, 5, "candidates")
    supernet = run / "warmups" / "0.5" / "supernet"
    (supernet / "warmup.json").unlink()
    (supernet / "metrics.jsonl").write_text(json.dumps({"rows": 40, "rows_per_second": 20.0}) + "\n")
    status = read_study_status(run)
    rows = json.loads((run / "schema.json").read_text())["splits"]["train"]["rows"]
    assert (status.stage, status.progress.done, status.progress.total) == ("warm-up 0.5", 40, (rows + 1) // 2)
    # Five candidates are scored on gradients of some batches, then come ten trainings, all at the warm-up's rate.
    settings = yaml.safe_load((run / "config.yaml").read_text())
    scored = 5 * settings["proxy"]["batches"] * settings["proxy"]["batch_size"]
    left = (rows + 1) // 2 - 40 + scored + 10 * settings["final"]["epochs"] * rows
    assert status.whole_seconds_left == pytest.approx(left / 20, abs=0.1)
    (supernet / "metrics.jsonl").unlink()
    assert read_study_status(run).progress is None
    assert read_study_status(run).whole_seconds_left is None


def test_a_stopped_study_names_the_command_that_goes_on(
    run: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status", str(run)]) == 0
    shown = capsys.readouterr().out
    assert f"{run}: stopped, stage 5 of 5: training\n" in shown
    assert "5 of 10 trainings (50 %)" in shown
    assert f"recnas study --data {data} --run {run} --resume" in shown


def test_a_finished_study_shows_its_best_rankings(undisturbed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", str(undisturbed)]) == 0
    shown = capsys.readouterr().out
    assert f"{undisturbed}: finished\n" in shown
    assert "regret, top 1" in shown
    assert main(["status", str(undisturbed), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["results"]["seeds"] == 2


def test_the_status_of_a_study_needs_neither_torch_nor_plotly() -> None:
    code = "import sys, recnas.study.status; sys.exit(bool({'torch', 'plotly'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
