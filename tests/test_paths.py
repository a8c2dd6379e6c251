"""Names of files and folders are only names: no pattern, no address, no home folder, whatever letters they have."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import polars as pl
import pytest

from recnas.cli import main
from recnas.data import Dataset
from recnas.data_prep.text import input_files
from recnas.features.frames import scan

ODD = "~ my data [v1] a*b x?y %20 #1 'q' ü中"
"""What may be in a name: patterns, what shells and addresses have, blanks."""
NO_TEXT = os.fsdecode(b"[1]\xff")
"""Names are bytes, which need not be UTF-8."""


def write_log(path: Path, price: int) -> Path:
    """A log of 400 rows that all have this price."""
    rng = random.Random(price)
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = (f"{number % 2},{price},u{rng.randrange(9)}" for number in range(400))
    path.write_text("\n".join(["click,price,user", *rows]) + "\n")
    return path


def prepare(input: Path, output: Path) -> int:
    roles = ["--label", "click", "--dense", "price:none", "--sparse", "user"]
    return main(["prepare", "tabular", "--input", str(input), "--output", str(output), *roles, "--quiet"])


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an odd name with a log and its data set."""
    folder = tmp_path_factory.mktemp("paths") / ODD
    assert prepare(write_log(folder / f"{ODD}.csv", 7), folder / ODD / "data") == 0
    return folder


def test_a_search_from_a_log_to_an_export_works_in_a_folder_with_an_odd_name(
    odd: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(odd)
    # Relative, so that the names themselves are at their begin.
    data, run, model = (str(Path(ODD, name)) for name in ("data", "run", "model"))
    small = "--strategy random --proxy jacov --population 2 --iterations 0 --tournament 1 --children 1 --top-k 1"
    small += " --proxy-batch-size 16 --epochs 1 --batch-size 128 --other-learning-rates --baselines lr"
    for arguments in (
        ["describe", data],
        ["plan", data, "--world-size", "2"],
        ["search", "--data", data, "--run", run, "--quiet", *small.split()],
        ["search", "--data", data, "--run", run, "--quiet", "--resume"],
        ["status", run],
        ["report", run],
        ["export", run, "--output", model],
        ["evaluate", model, "--data", data],
    ):
        capsys.readouterr()
        assert main(arguments) == 0, capsys.readouterr().err
    assert capsys.readouterr().out.startswith("test log loss ")
    assert Path(run, "report.html").stat().st_size > 10_000


def test_of_folders_of_which_one_is_a_pattern_of_the_other_each_shows_its_own_values(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, price in (("d[1]", 3), ("d1", 5)):
        assert prepare(write_log(tmp_path / name / "log.csv", price), tmp_path / name / "data") == 0
    for name, price in (("d[1]", 3), ("d1", 5)):
        capsys.readouterr()
        assert main(["describe", str(tmp_path / name / "data"), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["dense"][0]["maximum"] == price
        dataset = Dataset(tmp_path / name / "data")
        assert next(iter(dataset.batches("train", 8))).dense.tolist() == [[price]] * 8
        assert scan([dataset.path / "test"]).select(pl.col("price").min()).collect().item() == price


def test_a_pattern_is_one_only_after_the_folders_that_are_there(tmp_path: Path) -> None:
    for name in ("d[1]/a_1.csv", "d[1]/a_2.csv", "d1/a_3.csv", "d[1]/b[2].csv", "d[1]/b2.csv"):
        write_log(tmp_path / name, 1)

    def found(pattern: str) -> list[str]:
        return [str(path.relative_to(tmp_path)) for path in input_files(tmp_path / pattern, ["*.csv"])]

    assert found("d[1]/a_*.csv") == ["d[1]/a_1.csv", "d[1]/a_2.csv"]
    assert found("d[1]/b[2].csv") == ["d[1]/b[2].csv"]
    assert found("d[12]/a_*.csv") == ["d1/a_3.csv"]
    assert found("d[1]") == ["d[1]/a_1.csv", "d[1]/a_2.csv", "d[1]/b2.csv", "d[1]/b[2].csv"]


@pytest.mark.parametrize("name", [ODD, NO_TEXT])
@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_every_form_of_log_is_read_under_an_odd_name(tmp_path: Path, name: str, suffix: str) -> None:
    log = tmp_path / f"{name}.{suffix}"
    frame = pl.DataFrame({"click": [0, 1] * 200, "price": [7] * 400, "user": ["u1", "u2"] * 200})
    with log.open("wb") as file:
        {"csv": frame.write_csv, "jsonl": frame.write_ndjson, "parquet": frame.write_parquet}[suffix](file)
    data = tmp_path / name / "data"
    assert prepare(log, data) == 0
    assert main(["describe", str(data)]) == 0
    assert len(next(iter(Dataset(data).batches("train", 8)))) == 8
    assert scan([data / "train"]).select(pl.col("price").max()).collect().item() == 7


def test_a_folder_of_weights_whose_name_is_no_text_is_refused_before_anything_is_done(
    odd: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / NO_TEXT
    capsys.readouterr()
    assert main(["search", "--data", str(odd / ODD / "data"), "--run", str(run), "--proxy-batch-size", "16"]) == 2
    told = f"recnas: {tmp_path}/[1]\\udcff: the name is not UTF-8; rename the folder, or choose another --run\n"
    assert capsys.readouterr().err.endswith(told)
    assert list(tmp_path.iterdir()) == []
