from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

import pytest

from recnas.cli import main
from recnas.cli.commands import make_parser
from recnas.cli.flags import add_setting_flags
from recnas.runs.result_table import result_table
from recnas.runs.results import best_trained
from recnas.runs.settings import Settings
from recnas.util.plain_values import leaves


def outcome(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    try:
        code = main([str(argument) for argument in arguments])
    except SystemExit as stop:
        code = stop.code
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def parsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The parser of each command that a parser knows."""
    return next(dict(action.choices) for action in parser._actions if isinstance(action.choices, dict))


def test_help_lists_every_command_and_each_command_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = outcome(capsys, "--help")
    assert code == 0
    known = parsers(make_parser())
    listed = out.split("From a click log to an exported model:\n\n")[1].split("\n\n")[0].splitlines()
    assert [line.split()[0] for line in listed] == list(known)
    assert set(known) >= {"prepare", "search", "status", "report", "export", "evaluate", "train"}
    for command in known:
        assert f"  {command} " in out
        code, shown, _ = outcome(capsys, command, "--help")
        assert code == 0
        assert re.search(rf"^examples?:\n  recnas {command}", shown, re.MULTILINE)
    # Each recipe is a command, too.
    for recipe in parsers(known["prepare"]):
        code, shown, _ = outcome(capsys, "prepare", recipe, "--help")
        assert f"example:\n  recnas prepare {recipe}" in shown


def test_the_help_of_each_setting_is_its_own_and_says_the_default() -> None:
    actions = {flag: action for action in parsers(make_parser())["search"]._actions for flag in action.option_strings}
    for _, _, about in leaves(Settings):
        if about is not None:
            assert actions[about.flag].help.replace("%%", "%").startswith(f"{about.help} (default: ")


def test_a_command_takes_only_settings_that_there_are() -> None:
    with pytest.raises(ValueError, match=r"Settings has no warmup\.amounts"):
        add_setting_flags(argparse.ArgumentParser(), Settings, without=["warmup.amounts"])


def test_going_on_training_is_a_command_that_its_room_gives_too() -> None:
    """`torchrun` starts modules."""
    shown = [
        subprocess.run(
            [sys.executable, "-m", *words, "--help"], capture_output=True, text=True, check=True, encoding="utf-8"
        ).stdout
        for words in (["recnas", "train"], ["recnas.train"])
    ]
    assert shown[0] == shown[1]
    assert shown[0].startswith("usage: recnas train")


def test_help_needs_no_torch() -> None:
    code = "import sys, recnas.cli.commands as c; c.make_parser().format_help(); sys.exit('torch' in sys.modules)"
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
    common = {"status": "trained", "parameters": 1000, "macs": 2000, "learning_rate": 0.05}
    common |= {"latency_ms": None, "over_limits": []}
    quality = {"log_loss": 0.5, "auc": 0.7}
    models = [
        {"id": "broken", "validation": None, "test": None, **common, "status": "diverged"},
        {"id": "early", "validation": quality, "test": None, **common, "status": "dropped", "share": 0.125},
        {"id": "late", "validation": {"log_loss": 0.7, "auc": 0.6}, "test": None, **common}
        | {"status": "dropped", "share": 0.25},
        {"id": "dlrm", "validation": {"log_loss": 0.6, "auc": 0.6}, "test": quality, **common},
        {"id": "abc", "validation": quality, "test": quality, **common},
    ]
    lines = result_table({"best": "abc", "front": ["abc"], "models": models}).splitlines()
    assert [line.split()[0] for line in lines[2:]] == ["abc", "dlrm", "late", "early", "broken"]
    assert lines[2].endswith("<- best")
    assert "0.7000" in lines[4]
    assert "dropped at 25 %" in lines[4]
    assert "dropped at 12.5 %" in lines[5]
    assert "diverged" in lines[6]
    assert len({len(line) for line in lines[3:]}) == 1


def test_the_table_marks_a_baseline_that_is_best_and_the_best_searched_model_as_such() -> None:
    common = {"status": "trained", "parameters": 1000, "macs": 2000, "learning_rate": 0.05}
    common |= {"latency_ms": None, "over_limits": []}
    models = [
        {"id": name, "kind": kind, "validation": quality, "test": quality, **common}
        for name, kind, quality in (
            ("abc", "searched", {"log_loss": 0.6, "auc": 0.7}),
            ("def", "searched", {"log_loss": 0.7, "auc": 0.7}),
            ("dlrm", "baseline", {"log_loss": 0.5, "auc": 0.7}),
        )
    ]
    chosen = best_trained(models)
    assert chosen == {"best": "dlrm", "best_searched": "abc"}
    lines = result_table({**chosen, "front": ["abc", "def"], "models": models}).splitlines()
    assert [line.split(" <- ")[1:] for line in lines[2:]] == [["best"], ["best searched"], ["front"]]


def test_the_table_shows_latency_where_measured_the_front_and_what_is_over_a_limit() -> None:
    common = {"kind": "searched", "status": "trained", "parameters": 1000, "macs": 2000, "learning_rate": 0.05}
    common["test"] = common["validation"] = {"log_loss": 0.5, "auc": 0.7}
    models = [
        {"id": "abc", "latency_ms": 12.345, "over_limits": ["latency"], **common},
        {"id": "def", "latency_ms": 6.0, "over_limits": [], **common},
        {"id": "ghi", "latency_ms": None, "over_limits": [], **common},
    ]
    lines = result_table({"best": "abc", "front": ["abc", "def"], "models": models}).splitlines()
    assert [line.index("latency") for line in lines[:1]] == [lines[2].index("12.35") - 2]
    assert lines[2].endswith("0.05 <- best, over the limit on latency")
    assert lines[3].endswith("6.00      0.05 <- front")
    assert lines[4].endswith("0.05")


@pytest.mark.parametrize(
    ("flags", "place", "value"),
    [
        (["--max-macs", "2M"], ("limits", "max_macs"), 2_000_000),
        (["--max-flops", "2M"], ("limits", "max_macs"), 2_000_000),
        (["--max-macs", "1.5e6"], ("limits", "max_macs"), 1_500_000),
        (["--max-parameters", "250k"], ("limits", "max_parameters"), 250_000),
        (["--max-parameters", "none"], ("limits", "max_parameters"), None),
        (["--max-latency-ms", "2.5"], ("limits", "max_latency_ms"), 2.5),
        (["--objectives", "score,macs"], ("evolution", "objectives"), ["score", "macs"]),
        (["--objectives", "score", "macs"], ("evolution", "objectives"), ["score", "macs"]),
        (["--other-learning-rates", "0.1,0.2"], ("final", "other_learning_rates"), [0.1, 0.2]),
        (["--baselines"], ("final", "baselines"), []),
        (["--seed", "3"], ("seed",), 3),
    ],
)
def test_flags_are_read_as_people_write_them(
    monkeypatch: pytest.MonkeyPatch, flags: list[str], place: tuple[str, ...], value: object
) -> None:
    given: dict = {}
    monkeypatch.setattr("recnas.cli.search.run_search", lambda *_, **settings: given.update(settings) or {"run": "r"})
    monkeypatch.setattr("recnas.cli.search.result_table", lambda results: "")
    assert main(["search", "--data", "d", "--run", "r", *flags]) == 0
    for name in place:
        given = given[name]
    assert given == value


def test_baselines_takes_models_learning_rates_and_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict = {}
    monkeypatch.setattr(
        "recnas.cli.baselines.run_baselines", lambda *_, **arguments: given.update(arguments) or {"run": "r"}
    )
    monkeypatch.setattr("recnas.cli.baselines.result_table", lambda results: "")
    flags = ["--models", "lr,autoint+", "dlrm", "--learning-rates", "0.1,0.05", "--epochs", "2", "--clip", "none"]
    assert main(["baselines", "--data", "d", "--run", "r", *flags]) == 0
    assert given["models"] == ["lr", "autoint+", "dlrm"]
    assert given["learning_rates"] == [0.1, 0.05]
    assert given["final"] == {"epochs": 2, "optimization": {"clip": None}}
    assert main(["baselines", "--data", "d", "--run", "r"]) == 0
    assert (given["models"], given["learning_rates"]) == (None, None)


@pytest.mark.parametrize("text", ["2.5", "two", "M", "nan", "inf", "1e99", "2 M M", ""])
def test_what_is_no_whole_number_is_named(capsys: pytest.CaptureFixture[str], text: str) -> None:
    code, _, err = outcome(capsys, "search", "--max-macs", text)
    assert code == 2
    assert f"argument --max-macs: invalid whole number: {text!r}" in err
    assert err.count("\n") == 1
