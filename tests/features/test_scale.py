"""Dense features that a training does not cope with."""

from pathlib import Path

import pytest

import recnas.data_prep
from recnas.cli import main
from recnas.data import Dataset
from recnas.features.scale import far_out
from recnas.features.schema import Schema
from recnas.search.data_summary import say_rows
from recnas.util.console import Console


@pytest.fixture
def log(tmp_path: Path) -> Path:
    file = tmp_path / "log.csv"
    rows = [f"{place % 3 % 2},{1.7e12 + place},{place},{-2e6 if place == 7 else 1},u{place % 9}" for place in range(60)]
    file.write_text("\n".join(["click,ts,age,debt,user", *rows]) + "\n")
    return file


def test_a_feature_of_large_values_without_a_transform_is_told_when_it_is_prepared_and_when_it_is_learned_from(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--label", "click", "--sparse", "user", "--dense", "ts:none", "age:none", "debt:none"]
    assert main(["prepare", "tabular", "--input", str(log), "--output", str(tmp_path / "set"), *flags, "--quiet"]) == 0
    told = capsys.readouterr().out
    assert "ts has values up to 1.7e+12 and no transform, which a training does not cope with; prepare it with" in told
    assert "--dense ts:standardize" in told
    say_rows(Console(True), Dataset(tmp_path / "set"))
    assert "ts has values up to 1.7e+12" in capsys.readouterr().err
    lines = far_out(tmp_path / "set", Schema.load(tmp_path / "set"))
    assert [line.split()[0] for line in lines] in (["ts"], ["ts", "debt"])  # by chance, debt's is in the test split


def test_a_transform_brings_it_into_scale(log: Path, tmp_path: Path) -> None:
    recnas.data_prep.prepare(
        "tabular", tmp_path / "set", input=log, label="click", sparse=["user"], dense=["ts:standardize", "age:none"],
        progress=False,
    )  # fmt: skip
    assert far_out(tmp_path / "set", Schema.load(tmp_path / "set")) == []
