"""The roles of columns that nobody named, on small tables of many sorts."""

import json
import shlex
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recnas.data_prep import prepare
from recnas.data_prep.names import said_by_name
from recnas.data_prep.roles import Named, Plan, plan_roles
from recnas.data_prep.sample import sample_of
from recnas.data_prep.signal import told_by_clicks
from recnas.data_prep.tables import open_tables
from recnas.util.errors import InputError

ROWS = 4000
RANDOM = np.random.default_rng(0)


def _clicks(scores: np.ndarray) -> np.ndarray:
    """Clicks whose log odds are the scores, from a seed."""
    return (np.random.default_rng(1).random(len(scores)) < 1 / (1 + np.exp(-scores))).astype(np.int8)


def _plan(table: object, **named) -> Plan:
    return plan_roles(sample_of(open_tables(table, lambda line: None)), Named(**named))


def _roles(table: object, **named) -> dict[str, str]:
    return {name: role for name, (role, _) in _plan(table, **named).reasons.items()}


USER, AGE = RANDOM.integers(1, 120, ROWS), RANDOM.integers(18, 80, ROWS)
LIKES = RANDOM.normal(0, 1.2, 120)
CLICKS = _clicks(LIKES[USER] + (AGE - 45) / 25 - 1)


def test_whole_numbers_are_ids_or_quantities_as_their_names_say():
    quantities = {
        "age": AGE,
        "price": np.exp(RANDOM.normal(5, 1, ROWS)).astype(int),
        "num_visits": RANDOM.geometric(0.05, ROWS),
        "itemCount": RANDOM.geometric(0.02, ROWS),
    }
    ids = ["user", "item", "ad", "campaign", "creative", "device", "country", "city", "zip", "category", "brand"]
    ids += ["publisher", "siteId", "app", "query", "age_group", "flight_no", "product_type", "countrycode"]
    frame = pl.DataFrame({"click": CLICKS} | quantities | {name: RANDOM.integers(1, 200, ROWS) for name in ids})
    expected = {"click": "label"} | dict.fromkeys(quantities, "dense") | dict.fromkeys(ids, "sparse")
    assert _roles(frame) == expected
    # As text, and as floats, which pandas makes of whole numbers beside gaps, they are the same.
    assert _roles(frame.cast(pl.String)) == expected
    assert _roles(frame.cast(pl.Float64)) == expected


def test_of_numbers_with_names_that_say_nothing_clicks_tell_ids_from_quantities():
    columns = {"click": CLICKS, "x1": USER, "x2": AGE, "x3": RANDOM.permutation(1000)[USER], "x4": AGE * 7 + 10**6}
    plan = _plan(pl.DataFrame(columns))
    assert {name: role for name, (role, _) in plan.reasons.items()} == {
        "click": "label", "x1": "sparse", "x2": "dense", "x3": "sparse", "x4": "dense",
    }  # fmt: skip
    assert plan.unsure == []
    assert plan.reasons["x1"][1].endswith(", ids by their clicks")
    assert plan.reasons["x2"][1].endswith(", quantities by their clicks")


def test_what_nothing_tells_is_taken_for_ids_and_said():
    plan = _plan(pl.DataFrame({"click": CLICKS, "item": USER, "x": RANDOM.integers(0, 90, ROWS)}))
    assert plan.roles.sparse == ("item", "x")
    assert plan.unsure == ["x"]
    assert "Not sure of x: taken as ids, which costs little, as nothing is certain" in str(plan)
    assert plan.reasons["x"][1].endswith(", ids for want of a sign")
    # Where name and clicks disagree, too.
    plan = _plan(pl.DataFrame({"click": CLICKS, "age": USER}))
    assert plan.unsure == ["age"]
    assert plan.reasons["age"][1].endswith(", ids by their clicks, though not by name")


@pytest.mark.parametrize(
    "numbers",
    [
        pl.Series([Decimal(int(value)) * 10**20 for value in USER], dtype=pl.Decimal(38, 0)),
        pl.Series(USER).cast(pl.Decimal(38, 0)),
        pl.Series(USER).cast(pl.Decimal(38, 10)),
        pl.Series([f"{value}{10**24}" for value in USER]),
        pl.Series(USER + 2**60),
    ],
    ids=["large decimals", "decimals", "decimals with zeros", "long text", "beyond floats"],
)
def test_whole_numbers_of_every_type_can_be_ids(numbers):
    assert _roles(pl.DataFrame({"click": CLICKS, "x": numbers, "member": USER}))["x"] == "sparse"


def test_decimals_with_fractions_are_numbers():
    prices = pl.Series(AGE / 4).cast(pl.Decimal(10, 2))
    assert _roles(pl.DataFrame({"click": CLICKS, "x": prices, "item": USER}))["x"] == "dense"


def test_a_word_among_numbers_makes_them_ids_not_without_a_doubt():
    prices = [f"{age / 4}" for age in AGE]
    prices[700] = "free"
    padded = ["01234", *(str(age) for age in AGE[1:])]
    plan = _plan(pl.DataFrame({"click": CLICKS, "fare": prices, "x": padded, "user": USER}))
    assert plan.roles.sparse == ("fare", "x", "user")
    assert plan.unsure == ["fare"]
    assert plan.reasons["fare"][1].endswith(", ids as 'free' is no number")


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", ["ids", "skewed ids", "ids in order", "slope", "valley", "step", "noise"])
def test_clicks_never_tell_the_wrong_thing(kind, seed):
    random = np.random.default_rng(seed)
    numbers = random.integers(0, 60, ROWS)
    if kind == "skewed ids":
        numbers = np.minimum(random.zipf(1.3, ROWS), 60) - 1
    scores = {
        "ids": random.normal(-1, 1, 60), "skewed ids": random.normal(-1, 1, 60),
        "ids in order": random.normal(np.linspace(-1.7, -0.3, 60), 1), "slope": np.linspace(-3, 1, 60),
        "valley": np.linspace(-2, 2, 60) ** 2 - 2, "step": np.where(np.arange(60) > 33, 0, -2), "noise": np.zeros(60),
    }[kind]  # fmt: skip
    clicks = (random.random(ROWS) < 1 / (1 + np.exp(-scores[numbers]))).astype(float)
    allowed = {"ids"} if kind == "ids in order" else {None} if kind == "noise" else {"ids", None}
    allowed = {"quantities"} if kind in ("slope", "valley", "step") else allowed
    assert told_by_clicks(numbers, clicks) in allowed


@given(st.lists(st.tuples(st.integers(-5, 5), st.integers(0, 1)), max_size=30))
def test_clicks_of_few_rows_tell_nothing_and_break_nothing(rows):
    table = np.array(rows, dtype=float).reshape(-1, 2)
    assert told_by_clicks(table[:, 0], table[:, 1]) in (None, "ids", "quantities")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("userId", "ids"), ("USER_ID", "ids"), ("item-price", "quantities"), ("price_category", "ids"), ("ad", "ids"),
        ("load", None), ("radius", None), ("days_since_visit", "quantities"), ("n_items", "quantities"),
        ("bid", "quantities"),
        ("humidity", None), ("C14", None), ("", None), ("city population", "quantities"), ("adgroup.id", "ids"),
        ("num_of_device", "quantities"), ("número", None),
    ],
)  # fmt: skip
def test_a_name_says_what_its_last_telling_word_says(name, said):
    assert said_by_name(name) == said


def _sorted_by_label() -> pd.DataFrame:
    frame = pd.DataFrame({"click": CLICKS, "user": USER, "amount": AGE / 4})
    return frame.sort_values("click", kind="stable")


def _index_as_parquet(folder: Path) -> Path:
    _sorted_by_label().to_parquet(folder / "a.parquet")
    return folder / "a.parquet"


def _named_index_as_parquet(folder: Path) -> Path:
    _sorted_by_label().rename_axis("lead").to_parquet(folder / "a.parquet")
    return folder / "a.parquet"


def _index_as_csv(folder: Path) -> Path:
    _sorted_by_label().to_csv(folder / "a.csv")
    return folder / "a.csv"


def _index_twice_as_csv(folder: Path) -> Path:
    _sorted_by_label().to_csv(folder / "a.csv")
    pd.read_csv(folder / "a.csv").to_csv(folder / "a.csv", index=False)
    return folder / "a.csv"


def _index_as_a_column(folder: Path) -> pd.DataFrame:
    return _sorted_by_label().reset_index(names="x")


def _index_shuffled(folder: Path) -> pd.DataFrame:
    return _index_as_a_column(folder).sample(frac=1, random_state=0)


def _index_with_gaps(folder: Path) -> pd.DataFrame:
    return _index_shuffled(folder).assign(x=lambda frame: frame["x"] * 3 + 10**9)


def _index_as_text(folder: Path) -> pd.DataFrame:
    return _index_shuffled(folder).astype({"x": str})


def _index_in_each_part(folder: Path) -> Path:
    for part in range(4):
        rows = _sorted_by_label()[part * 1000 : (part + 1) * 1000]
        rows.reset_index(drop=True).reset_index(names="x").to_csv(folder / f"part-{part}.csv", index=False)
    return folder


@pytest.mark.parametrize(
    "table",
    [
        _index_as_parquet, _named_index_as_parquet, _index_as_csv, _index_twice_as_csv, _index_as_a_column,
        _index_shuffled, _index_with_gaps, _index_as_text, _index_in_each_part,
    ],
)  # fmt: skip
def test_a_rows_index_is_no_feature_and_that_is_said(tmp_path, table):
    plan = _plan(table(tmp_path))
    assert (list(plan.roles.dense), plan.roles.sparse) == (["amount"], ("user",))
    (index,) = plan.reasons.keys() - {"click", "user", "amount"}
    role, why = plan.reasons[index]
    assert role == "left out"
    assert "a row's index" in why
    assert "to take it in" in why or "take it in with --dense or --sparse" in why


def test_the_index_of_a_pandas_frame_is_no_feature():
    plan = _plan(_sorted_by_label())
    assert (list(plan.roles.dense), plan.roles.sparse, len(plan.reasons)) == (["amount"], ("user",), 3)


def test_an_arrow_table_says_which_columns_were_an_index():
    table = pa.Table.from_pandas(_sorted_by_label().set_index("user", append=True))
    assert _roles(table, label="click", dense=["amount"], sparse=["user"]) == {}
    assert _roles(table.append_column("item", pa.array(USER)))["user"] == "left out"


def test_a_named_index_is_taken_and_what_it_looks_like_is_said(tmp_path, capsys):
    path = _index_as_parquet(tmp_path)
    options = {"label": "click", "dense": ["__index_level_0__"], "sparse": ["user"]}
    schema = prepare("tabular", tmp_path / "out", path, **options)
    assert [feature.name for feature in schema.dense] == ["__index_level_0__"]
    assert "--dense __index_level_0__ looks like a row's index" in capsys.readouterr().err
    assert "looks like" not in str(_plan(path, label="click", dense=["amount"], sparse=["user"]))


def test_prices_that_never_repeat_are_no_index():
    prices = np.random.default_rng(2).choice(10**8, 300, replace=False)
    clicks = _clicks((prices - 5e7) / 2e7)
    frame = pl.DataFrame({"click": clicks, "price": prices, "item": USER[:300]})
    assert _roles(frame)["price"] == "dense"


def test_seconds_since_1970_are_times_whatever_their_unit():
    times = 1_700_000_000 + RANDOM.integers(0, 10**6, ROWS)
    for unit in (1, 1000):
        frame = pl.DataFrame({"click": CLICKS, "event_ts": times * unit, "user": USER})
        assert _plan(frame).roles.time == "event_ts"
    assert _roles(pl.DataFrame({"click": CLICKS, "event_ts": AGE, "user": USER}))["event_ts"] == "dense"
    # Without a telling name, too, but not ids of as many digits.
    assert _plan(pl.DataFrame({"click": CLICKS, "x": times, "user": USER})).roles.time == "x"
    ids = RANDOM.integers(10**9, 2 * 10**9, 3000)[np.arange(ROWS) % 3000]
    assert _roles(pl.DataFrame({"click": CLICKS, "x": ids, "user": USER}))["x"] == "sparse"


@pytest.mark.parametrize(
    ("values", "role"),
    [
        ([{"a": 1}, None, {"b": 2}, {"a": 3}], "left out"),
        ([[1, [2]], [3], [[4]], []], "multi"),
        ([[[1]], [[2]], [[3]], [[4]]], "left out"),
        ([[{"a": 1}], [{"a": 2}], [{"a": 3}], []], "left out"),
        ([[0.5, 1.0], [2.5], [3.5], []], "left out"),
        ([[1, "a"], ["b"], [2], []], "multi"),
        ([[1.0], [2.0], [3.0], []], "multi"),
        ([1, "a", True, None], "sparse"),
        ([{"a": 1}, "x", "y", "z"], "sparse"),
    ],
)
def test_objects_and_lists_of_lists_cannot_be_features(tmp_path, values, role):
    lines = [json.dumps({"click": place % 2, "x": values[place % 4], "user": place % 3}) for place in range(40)]
    (tmp_path / "a.jsonl").write_text("\n".join(lines) + "\n")
    plan = _plan(tmp_path / "a.jsonl")
    assert plan.reasons["x"][0] == role
    if role == "left out":
        assert plan.reasons["x"][1].endswith("which cannot be a feature")
        # What is left is prepared.
        schema = prepare("tabular", tmp_path / "out", tmp_path / "a.jsonl", progress=False)
        assert [feature.name for feature in schema.sparse] == ["user"]


def test_types_that_hold_others_cannot_be_features(tmp_path):
    nested = pa.array([[[1]], [[2]]] * 20)
    entries = pa.array([[("k", 1)], []] * 20, pa.map_(pa.string(), pa.int64()))
    structs = pa.array([{"a": 1}, {"a": 2}] * 20)
    table = pa.table({"click": [0, 1] * 20, "a": nested, "b": entries, "c": structs, "user": ["x", "y"] * 20})
    pq.write_table(table, tmp_path / "a.parquet")
    roles = {"click": "label", "a": "left out", "b": "left out", "c": "left out", "user": "sparse"}
    assert _roles(tmp_path / "a.parquet") == roles


def test_the_plan_gives_itself_as_flags_that_say_the_same():
    frame = pl.DataFrame(
        {"my click": [1, 2] * (ROWS // 2), "user": USER, "it's": AGE, "age": AGE, "day": ["2024-05-31"] * ROWS}
    )
    plan = _plan(frame, label="my click", positive=["2"], transform="log1p")
    flags = shlex.split(str(plan).splitlines()[-1].partition(": ")[2])
    assert flags == [
        "--label", "my click", "--positive", "2", "--dense", "age:log1p", "--sparse", "user", "it's",
    ]  # fmt: skip
    again = _plan(frame, label="my click", positive=["2"], dense=["age:log1p"], sparse=["user", "it's"])
    assert again.roles == plan.roles
    # What is inferred again needs no flag, which would take every other value for no click.
    words = frame.with_columns(pl.col("my click").replace_strict({1: "no", 2: "yes"}, return_dtype=pl.String))
    assert "--positive" not in str(_plan(words, label="my click")).splitlines()[-1]


def test_a_column_without_a_name_cannot_be_named():
    with pytest.raises(InputError, match="--sparse : there is no such column; there are click, user"):
        _plan(pl.DataFrame({"": USER, "click": CLICKS, "user": USER}), sparse=[""])
