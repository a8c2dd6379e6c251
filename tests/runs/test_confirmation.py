"""Code and clusters that a file names count only where the user names them too."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import recnas.search.run
import recnas.study.run
from recnas.cli import main
from recnas.features.schema import Schema
from recnas.report import write_report
from recnas.runs.folder import write_config
from recnas.runs.status import read_status
from recnas.search import Settings, run_search
from recnas.study import StudySettings, run_study
from recnas.study.status import read_study_status
from recnas.util.errors import RunError

Refused = Callable[..., str]


@pytest.fixture
def evil(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file that a module `evil` in the working directory makes when it is imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    canary = tmp_path / "canary"
    (tmp_path / "evil.py").write_text(
        f"import pathlib\npathlib.Path({str(canary)!r}).touch()\ndef f(candidate):\n    return 0.0\n"
    )
    yield canary
    # Other tests hold that nobody imports one.
    sys.modules.pop("evil", None)


@pytest.fixture
def stopping(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work that goes ahead ends before anything is computed."""

    def stop(*arguments: Any) -> Any:
        raise RunError("it goes ahead")

    for module in (recnas.search.run, recnas.study.run):
        monkeypatch.setattr(module, "open_executor", stop)


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Refused:
    """What a command says that ends with exit code 2."""

    def run(*command: object) -> str:
        assert main([str(part) for part in command]) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        return said

    return run


def begin(run: Path, data: Path, settings: Settings) -> Path:
    """A run's folder as it is when a run has just begun."""
    run.mkdir()
    Schema.load(data).save(run)
    write_config(run, settings, "2026-01-01T00:00:00+00:00")
    return run


def received(folder: Path, data: Path, score: str = "evil:f") -> Path:
    proxy = {"score": score, "batch_size": 16}
    return begin(folder, data, Settings.from_mapping({"data": str(data), "run": "x", "proxy": proxy}))


def received_study(folder: Path, data: Path, **values: Any) -> Path:
    values |= {"data": str(data), "run": "x", "proxy": {"batch_size": 16}}
    return begin(folder, data, StudySettings.from_mapping(values))


@pytest.mark.usefixtures("stopping")
def test_code_that_a_received_run_names_is_run_only_when_the_flag_repeats_it(
    data: Path, tmp_path: Path, evil: Path, refused: Refused, capsys: pytest.CaptureFixture[str]
) -> None:
    run = received(tmp_path / "run", data, "jacov | jacov - 0*evil:f - short_training")
    command = ["search", "--data", data, "--run", run, "--resume"]
    said = refused(*command)
    assert f"{run}/config.yaml: its ranking runs code of the module evil; give --proxy " in said
    assert "'jacov | jacov - 0*evil:f - short_training' to confirm it" in said
    run = received(tmp_path / "other", data)
    command = ["search", "--data", data, "--run", run, "--resume"]
    assert "give --proxy evil:f to confirm it" in refused(*command)
    # Another ranking that is confirmed is another search; the one of the file is not run for it.
    (tmp_path / "mine.py").write_text("def f(candidate):\n    return 0.0\n")
    assert "was begun with proxy.score evil:f" in refused(*command, "--proxy", "mine:f")
    for look in (read_status, write_report):
        look(run)
    assert not evil.exists()
    assert main([str(part) for part in (*command, "--proxy", "evil:f")]) == 1
    assert "it goes ahead" in capsys.readouterr().err
    assert evil.exists()


@pytest.mark.usefixtures("stopping")
def test_code_that_a_preset_names_is_run_only_when_the_flag_repeats_it(
    data: Path, tmp_path: Path, evil: Path, refused: Refused
) -> None:
    preset = tmp_path / "p.yaml"
    preset.write_text("proxy: {score: 'zico + evil:f'}\n")
    command = ["search", "--data", data, "--run", tmp_path / "run", "--preset", preset]
    assert f"{preset}: its ranking runs code of the module evil; give --proxy 'zico + evil:f'" in refused(*command)
    preset.write_text("proxies: [zico, 'evil:f']\nproxy: {batch_size: 16}\n")
    study = ["study", "--data", data, "--run", tmp_path / "run", "--preset", preset]
    assert f"{preset}: its ranking runs code of the module evil; give --proxy zico evil:f" in refused(*study)
    preset.write_text("rankings: ['zico + evil:f']\nproxy: {batch_size: 16}\n")
    assert "give --ranking 'zico + evil:f' to confirm it" in refused(*study)
    assert not evil.exists()
    assert not (tmp_path / "run").exists()
    with pytest.raises(RunError, match="it goes ahead"):
        run_study(data, tmp_path / "run", preset=str(preset), rankings=["zico + evil:f"], progress=False)
    assert evil.exists()


@pytest.mark.usefixtures("stopping")
def test_code_is_not_run_for_a_command_that_is_refused(
    data: Path, tmp_path: Path, evil: Path, refused: Refused
) -> None:
    run = received(tmp_path / "run", data)
    small = ["--proxy", "evil:f", "--proxy-batch-size", "16"]
    assert "choose another --run" in refused("search", "--data", data, "--run", run, *small)
    study = received_study(tmp_path / "study", data, proxies=["evil:f"])
    assert "choose another --run" in refused("study", "--data", data, "--run", study, *small)
    assert "choose another --run" in refused(
        "study", "--data", data, "--run", study, "--resume", "--proxy", "evil:f", "--seeds", "9"
    )
    assert "smallest candidate" in refused(
        "search", "--data", data, "--run", tmp_path / "new", *small, "--max-macs", "3"
    )
    assert not evil.exists()
    assert not (tmp_path / "new").exists()


def test_a_received_study_is_looked_at_without_its_code(
    data: Path, tmp_path: Path, evil: Path, refused: Refused
) -> None:
    study = received_study(tmp_path / "study", data, proxies=["evil:f"], rankings=["zico - evil:g"])
    said = refused("study", "--data", data, "--run", study, "--resume")
    assert f"{study}/config.yaml: its ranking runs code of the module evil; give --proxy evil:f to confirm it" in said
    # Both of its settings name code.
    said = refused("study", "--data", data, "--run", study, "--resume", "--proxy", "evil:f")
    assert "give --ranking 'zico - evil:g' to confirm it" in said
    assert read_study_status(study).state == "stopped"
    assert not evil.exists()


def test_a_module_that_cannot_be_imported_costs_no_earlier_run(
    data: Path, tmp_path: Path, evil: Path, refused: Refused
) -> None:
    (tmp_path / "evil.py").write_text("raise ValueError('broken')\n")
    run = received(tmp_path / "run", data)
    flags = ["--overwrite", "--proxy", "evil:f", "--proxy-batch-size", "16"]
    assert "cannot be imported" in refused("search", "--data", data, "--run", run, *flags)
    assert (run / "config.yaml").exists()


@pytest.mark.usefixtures("stopping")
def test_a_cluster_that_a_file_names_is_joined_only_when_the_flag_repeats_it(
    data: Path, tmp_path: Path, refused: Refused
) -> None:
    preset = tmp_path / "p.yaml"
    preset.write_text(yaml.safe_dump({"ray": "10.0.0.9:6379", "proxy": {"batch_size": 16}}))
    confirmed = "its work goes to the Ray cluster at 10.0.0.9:6379, which can run code here; give --ray 10.0.0.9:6379"
    for command in ("search", "baselines", "study"):
        assert confirmed in refused(command, "--data", data, "--run", tmp_path / "run", "--preset", preset)
    for ray in ("10.0.0.9:6379", None):
        with pytest.raises(RunError, match="it goes ahead"):
            run_search(data, tmp_path / "run", preset=str(preset), ray=ray, progress=False)
