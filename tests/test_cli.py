from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from recnas.cli import main, result_table


def outcome(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    try:
        code = main([str(argument) for argument in arguments])
    except SystemExit as stop:
        code = stop.code
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_help_lists_every_command_and_each_command_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = outcome(capsys, "--help")
    assert code == 0
    for command in ("prepare", "search", "status", "report", "export", "evaluate"):
        assert f"  {command} " in out
        code, shown, _ = outcome(capsys, command, "--help")
        assert code == 0
        assert f"example:\n  recnas {command}" in shown


def test_help_needs_no_torch() -> None:
    code = "import sys, recnas.cli; recnas.cli._parser().format_help(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("prepare", "criteo", "--input", "missing.txt", "--output", "data"), "missing.txt"),
        (("prepare", "criteoo", "--output", "data"), "criteo"),
        (("search",), "--data"),
        (("search", "--preset", "demo", "--data", "data", "--overwrite"), "--run"),
        (("search", "--data", "nowhere", "--run", "run"), "nowhere"),
        (("search", "--data", "nowhere", "--run", "run", "--warmup", "-1"), "--warmup -1"),
        (("search", "--data", "nowhere", "--run", "run", "--preset", "nothing"), "nothing"),
        (("search", "--data", "nowhere", "--run", "run", "--space", "small"), "nasrec-small"),
        (("status", "nowhere"), "nowhere"),
        (("report", "nowhere"), "nowhere"),
        (("export", "nowhere", "--output", "model"), "nowhere"),
        (("evaluate", "nowhere", "--data", "nowhere"), "nowhere"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    arguments: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = outcome(capsys, *arguments)
    assert code == 2
    assert message in err
    assert err.count("\n") == 1
    assert out == ""
    assert list(tmp_path.iterdir()) == []


def test_debug_shows_the_stack_trace(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = outcome(capsys, "report", "nowhere", "--debug")
    assert code == 2
    assert "Traceback" in err


def test_the_table_puts_the_best_on_validation_first_and_shows_dropped_and_diverged_models() -> None:
    common = {"status": "trained", "parameters": 1000, "flops": 2000, "learning_rate": 0.05}
    quality = {"log_loss": 0.5, "auc": 0.7}
    models = [
        {"id": "broken", "validation": None, "test": None, **common, "status": "diverged"},
        {"id": "early", "validation": quality, "test": None, **common, "status": "dropped", "share": 0.125},
        {"id": "late", "validation": {"log_loss": 0.7, "auc": 0.6}, "test": None, **common}
        | {"status": "dropped", "share": 0.25},
        {"id": "dlrm", "validation": {"log_loss": 0.6, "auc": 0.6}, "test": quality, **common, "flops": None},
        {"id": "abc", "validation": quality, "test": quality, **common},
    ]
    lines = result_table({"best": "abc", "models": models}).splitlines()
    assert [line.split()[0] for line in lines[2:]] == ["abc", "dlrm", "late", "early", "broken"]
    assert lines[2].endswith("<- best")
    assert "0.7000" in lines[4]
    assert "dropped at 25 %" in lines[4]
    assert "dropped at 12.5 %" in lines[5]
    assert "diverged" in lines[6]
    assert len({len(line) for line in lines[3:]}) == 1
