"""Whatever is done to the files of an export, each command says in one line what is wrong, and runs none of it."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

import pytest

from tests.export.conftest import Finished
from tests.mutations import check_commands


def test_a_damaged_export_is_one_line(
    exported: Path, finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    model = Path(shutil.copytree(exported, tmp_path / "model"))
    number = itertools.count()
    check_commands(
        model,
        (
            (60, lambda: ("evaluate", model, "--data", finished.data)),
            (1, lambda: ("export", model, "--output", tmp_path / f"out{next(number)}")),
        ),
        capsys,
        seed=1,
    )


def test_the_damaged_schema_of_a_data_set_is_one_line(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    data = Path(shutil.copytree(finished.data, tmp_path / "data"))
    check_commands(data, ((60, lambda: ("describe", data)),), capsys, seed=2, pattern="schema.json")


def test_a_damaged_run_is_one_line_when_it_is_exported(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    # What is sound is not exported: that takes seconds.
    (tmp_path / "taken").mkdir()
    monkeypatch.setattr("recnas.export.run.write_export", lambda output, *rest: output)
    monkeypatch.setattr("recnas.export.record.TrainingRecord.load", lambda output: EXPORTED)
    check_commands(run, ((60, lambda: ("export", run, "--output", tmp_path / "out")),), capsys, seed=3)


class EXPORTED:
    """The record of what was not written."""

    quantization = None
