"""A data recipe of a user's own needs nothing in the package."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

import recnas
from recnas.cli import main
from recnas.features.schema import Schema
from recnas.util.errors import InputError
from tests.own_code import LOGS, here

__all__ = ["here"]


@pytest.fixture
def log(here: Path) -> Path:
    """A log beside the module that reads it."""
    rng = random.Random(0)
    rows = [
        {
            "time": 600 * place,
            "country": rng.choice(["de", "fr"]),
            "clicked": rng.randint(0, 1),
            "price": rng.random(),
            "user": rng.randint(0, 20),
        }
        for place in range(600)
    ]
    (here / "own_logs.py").write_text(LOGS)
    file = here / "clicks.json"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def test_a_recipe_is_a_command_with_options_of_its_own(log: Path, here: Path) -> None:
    command = ["prepare", "own_logs:read_shop", "--input", str(log), "--quiet"]
    assert main([*command, "--output", "all"]) == 0
    assert main([*command, "--output", "german", "--country", "de"]) == 0
    whole, german = Schema.load(here / "all"), Schema.load(here / "german")
    assert [feature.name for feature in (*whole.dense, *whole.sparse)] == ["price", "user", "hour"]
    assert sum(counts["rows"] for counts in whole.splits.values()) == 600
    assert 0 < sum(counts["rows"] for counts in german.splits.values()) < 600


def test_its_help_has_its_options(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["prepare", "own_logs:read_shop", "--help"])
    said = capsys.readouterr().out
    assert "our shop's clicks" in said
    assert "of which country alone" in said


def test_a_recipe_is_prepared_from_python(log: Path, here: Path) -> None:
    schema = recnas.prepare("own_logs:read_shop", here / "set", input=log, progress=False, country="fr")
    assert schema.label == "clicked"
    with pytest.raises(InputError, match="own_logs:read_shop has no option city; its own are: country"):
        recnas.prepare("own_logs:read_shop", here / "other", input=log, progress=False, city="Bonn")


def test_a_recipe_may_take_the_features_of_an_earlier_log(log: Path, here: Path) -> None:
    code = LOGS.replace('alone")})', 'alone")}, beside_like=("country",))').replace(
        "country=None)", "country=None, like=None)"
    )
    code = code.replace(
        "return read_tabular(",
        "if like: return read_tabular(frame, bad_rows, progress, like=like)\n    return read_tabular(",
    )
    (here / "own_likes.py").write_text(code)
    first = recnas.prepare("own_likes:read_shop", here / "first", input=log, progress=False)
    again = recnas.prepare(
        "own_likes:read_shop", here / "again", input=log, progress=False, like=here / "first", split="test"
    )
    assert (again.dense, [feature.rows for feature in again.sparse]) == (first.dense, [f.rows for f in first.sparse])


def test_what_is_no_recipe_is_said_in_one_line(log: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, reason in (
        ("own_logs:pl", "no function of that module that `@recipe(…)` declares"),
        ("own_logs:read", "the module own_logs has no read"),
        ("not_there:read", "the module not_there cannot be imported"),
    ):
        assert main(["prepare", name, "--input", str(log), "--output", "set"]) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        assert said.startswith(f"recnas: recipe {name}: {reason}")
    with pytest.raises(InputError, match="there is no recipe 'shop'; take one of criteo, avazu"):
        recnas.prepare("shop", here / "set")
