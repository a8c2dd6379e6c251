"""Data sets of the benchmarks: made once, described, and never of what is held back."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from benchmarks import datasets
from benchmarks.datasets import SOURCES, Source, listing, main, make
from recnas.data import Dataset
from recnas.util.errors import InputError


def write_journey(folder: Path) -> Path:
    """A grocery of three products, one of them promoted in two weeks, in the files of its package."""
    (folder / "data").mkdir()
    bought = {
        "household_id": [1, 1, 2, 2, 1],
        "store_id": [5, 5, 5, 6, 5],
        "basket_id": [10, 11, 12, 13, 14],
        "product_id": [7, 7, 7, 7, 8],
        "quantity": [1, 2, 1, 1, 1],
        "sales_value": [2.0, 4.0, 1.5, 2.5, 9.0],
        "retail_disc": [0.0, 0.5, 0.0, 0.0, 0.0],
        "week": [4, 5, 6, 3, 6],
    }
    pl.DataFrame(bought).write_parquet(folder / "data/transactions.parquet")
    promoted = {"product_id": [7, 7, 7, 8], "store_id": [5, 5, 6, 6], "week": [6, 7, 6, 3]}
    shown = pl.DataFrame(promoted).with_columns(display_location=pl.lit("9"), mailer_location=pl.lit("A"))
    shown.write_parquet(folder / "data/promotions.parquet")
    pl.DataFrame({"product_id": [7, 8], "brand": ["National", "Private"]}).write_parquet(
        folder / "data/products.parquet"
    )
    return folder


def test_a_promotion_knows_earlier_weeks_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journey = write_journey(tmp_path)
    monkeypatch.setattr(datasets, "_folder", lambda module: journey)
    monkeypatch.setattr(datasets, "_is_drawn", lambda name, of: pl.lit(True))
    rows = datasets.promotions().rows(named=True)
    # That of week 3 has too few weeks before it.
    assert [(row["week"], row["store_id"]) for row in rows] == [(6, 5), (6, 6), (7, 5)]
    assert [row["bought"] for row in rows] == [1, 0, 0]
    assert [row["sold"] for row in rows] == [3, 3, 4]
    assert [row["sold_here"] for row in rows] == [2, 1, 3]
    assert [row["price"] for row in rows] == pytest.approx([8.5 / 3, 8.5 / 3, 2.5])
    assert {row["brand"] for row in rows} == {"National"}


def test_a_data_set_is_made_once_and_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Source("", "", "made-up rows", "synthetic", {"rows": 1000, "kind": "ids", "click_rate": 0.5})
    monkeypatch.setattr(datasets, "SOURCES", {"few": source})
    assert make("few", tmp_path / "few")
    assert not make("few", tmp_path / "few")
    assert Dataset(tmp_path / "few").rows("train") == 800
    assert "| few | 1,000 | 5" in listing(tmp_path)


def test_what_cannot_be_made_is_said_and_the_others_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def lacking() -> pl.DataFrame:
        raise InputError("there is no such package; `pip install --no-deps such` brings it")

    few = Source("", "", "", "synthetic", {"rows": 1000})
    monkeypatch.setattr(datasets, "SOURCES", {"none": Source("such", "", "", "tabular", {}, lacking), "few": few})
    with pytest.raises(SystemExit, match="none could not be made"):
        main([str(tmp_path)])
    assert "pip install --no-deps such" in capsys.readouterr().err
    assert (tmp_path / "few/schema.json").exists()


def test_what_is_held_back_is_in_no_source() -> None:
    for name, source in SOURCES.items():
        words = f"{name} {source.about} {source.options}".lower()
        assert not any(held in words for held in ("adult", "census", "income_bracket", "frappe")), name
