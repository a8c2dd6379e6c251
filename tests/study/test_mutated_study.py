"""Whatever is done to the files of a study, each command says in one line what is wrong, and runs none of it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from recnas.util.errors import RunError
from tests.mutations import check_commands


def test_a_damaged_study_is_one_line(
    undisturbed: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(*arguments: Any, **settings: Any) -> Any:
        raise RunError("it goes ahead")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("recnas.study.run.open_executor", stop)
    run = Path(shutil.copytree(undisturbed, tmp_path / "run"))
    again = ("study", "--data", data, "--run", run, "--resume", "--quiet")
    check_commands(
        run,
        ((20, lambda: ("status", run)), (8, lambda: again), (8, lambda: (*again, "--ranking", "zico"))),
        capsys,
        seed=6,
    )
    monkeypatch.setattr("recnas.report.study.figure_html", lambda name, figure: None)
    check_commands(
        Path(shutil.copytree(undisturbed, tmp_path / "shown")),
        ((8, lambda: ("report", tmp_path / "shown")),),
        capsys,
        seed=7,
        pattern="results.json",
    )
