"""The synthetic log: the same everywhere, of Criteo's shape, and with the truth that it says."""

import itertools
import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from recnas.cli import main
from recnas.data import Dataset
from recnas.data_prep import prepare
from recnas.data_prep.criteo import DENSE, LABEL, SPARSE
from recnas.data_prep.synthetic import (
    CLICK_RATE,
    COLUMNS,
    KINDS,
    MIN_ROWS,
    PROBABILITY,
    BestLogLoss,
    SyntheticLog,
    generate,
)
from recnas.features.feature import table_rows
from recnas.features.schema import SPLITS, Schema
from recnas.util.errors import InputError

ROWS = 100_000


@pytest.fixture(scope="module")
def log() -> SyntheticLog:
    return SyntheticLog(seed=0)


@pytest.fixture(scope="module")
def rows(log) -> pl.DataFrame:
    return log.rows(0, ROWS)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("synthetic") / "data"
    prepare("synthetic", path, rows=30_000, seed=3, progress=False)
    return path


def _log_odds(rows: pl.DataFrame) -> np.ndarray:
    probabilities = rows[PROBABILITY].cast(pl.Float64).to_numpy()
    return np.log(probabilities) - np.log1p(-probabilities)


def test_the_columns_are_criteos_and_the_probability(rows):
    assert rows.schema == {
        LABEL: pl.Int8,
        **dict.fromkeys(DENSE, pl.Int64),
        **dict.fromkeys(SPARSE, pl.UInt32),
        PROBABILITY: pl.Float32,
    }
    assert set(rows[LABEL].unique()) == {0, 1}


def test_a_seed_gives_the_same_rows_and_another_gives_others(rows):
    assert pl.concat(generate(200, seed=0)).equals(rows[:200])
    other = pl.concat(generate(200, seed=1))
    for name in rows.columns:
        assert not other[name].equals(rows[name][:200]), name


@settings(max_examples=10)
@given(start=st.integers(0, ROWS - 1000), count=st.integers(1, 1000))
def test_a_row_depends_on_its_number_alone(log, rows, start, count):
    assert log.rows(start, start + count).equals(rows[start : start + count])


@pytest.mark.parametrize("chunk_rows", [1, 7, 100])
def test_a_longer_log_begins_with_the_shorter_whatever_the_chunks(rows, chunk_rows):
    chunks = list(generate(30, seed=0, chunk_rows=chunk_rows))
    assert [len(chunk) for chunk in chunks[:-1]] == [chunk_rows] * (len(chunks) - 1)
    assert pl.concat(chunks).equals(rows[:30])


def test_the_log_of_seed_0_stays_what_it_is(rows):
    # If this has to change, figures measured on earlier synthetic logs no longer compare.
    first = rows[:1000]
    sums = [int(first[name].cast(pl.Int64).sum()) for name in (LABEL, "I5", "C3", "C26")]
    assert sums == [240, 6951569, 2349596167802, 1265476256021]
    assert first[PROBABILITY].cast(pl.Float64).sum() == pytest.approx(253.4679860046599, abs=1e-4)


def test_values_are_missing_as_often_as_planned(rows):
    for name, column in COLUMNS.items():
        deviation = math.sqrt(column.missing * (1 - column.missing) / ROWS)
        assert abs(rows[name].null_count() / ROWS - column.missing) <= 5 * deviation, name


def test_counts_have_a_long_tail_and_their_median_and_some_are_negative(rows):
    for name in DENSE:
        counts = rows[name].drop_nulls()
        assert counts.min() == (-1 if COLUMNS[name].negative else 0)
        assert counts.max() > 20 * max(1, counts.median())
        if not COLUMNS[name].negative:
            assert abs(counts.median() - math.floor(COLUMNS[name].scale)) <= 0.1 * COLUMNS[name].scale + 1


def test_ids_are_zipf_like(rows):
    for name in ("C3", "C10", "C24"):
        counts = rows[name].drop_nulls().value_counts(sort=True)["count"].to_numpy()
        ranks = np.arange(3, 200)
        slope, _ = np.polyfit(np.log(ranks + 1), np.log(counts[ranks]), 1)
        assert slope == pytest.approx(-9 / 8, abs=0.1), name


def test_ids_span_32_bits_and_share_no_row_of_an_uncapped_table(rows):
    for name in SPARSE:
        ids = rows[name].drop_nulls().unique().to_numpy()
        table = int(COLUMNS[name].scale) + 1
        assert len(ids) < table
        assert len(np.unique(table_rows(ids, table))) == len(ids), name
    assert rows["C3"].max() > 2**31


def test_the_click_rate_is_criteos_for_any_seed():
    for seed in (1, -2, 10**30):
        assert SyntheticLog(seed).rows(0, 20_000)[LABEL].mean() == pytest.approx(CLICK_RATE, abs=0.015)


def test_labels_follow_the_probabilities(rows):
    ordered = rows.sort(PROBABILITY)
    scores = []
    for start in range(0, ROWS, ROWS // 20):
        part = ordered[start : start + ROWS // 20]
        chances = part[PROBABILITY].cast(pl.Float64)
        scores.append((part[LABEL].sum() - chances.sum()) / math.sqrt((chances * (1 - chances)).sum()))
    assert max(map(abs, scores)) < 4
    assert 0.3 < np.square(scores).mean() < 2


def _interaction(rows: pl.DataFrame, columns: tuple[str, ...]) -> float:
    """F statistic of the log-odds' interaction of all the columns, over what fewer of them explain: about 1 if none."""
    codes = []
    for name in columns:
        if name in DENSE:
            codes.append(np.digitize(rows[name].fill_null(0), [1, COLUMNS[name].scale, 3 * COLUMNS[name].scale]))
        else:
            # The four most frequent, a missing one too; 4 is any other.
            values = rows[name].cast(pl.Int64).fill_null(-1)
            top = values.value_counts(sort=True)[name].head(4).to_list()
            codes.append(values.replace_strict(top, range(len(top)), default=4).to_numpy())
    cells = np.stack(codes, axis=1)
    chosen = (cells < 4).all(axis=1)
    kinds, members, sizes = np.unique(cells[chosen], axis=0, return_inverse=True, return_counts=True)
    values = _log_odds(rows)[chosen]
    means = np.bincount(members, weights=values) / sizes
    noise = np.square(values - means[members]).sum() / (len(values) - len(kinds))
    parts = [np.ones((len(kinds), 1))]
    for order in range(1, len(columns)):
        for subset in itertools.combinations(range(len(columns)), order):
            _, place = np.unique(kinds[:, subset], axis=0, return_inverse=True)
            parts.append(np.eye(place.max() + 1)[place])
    weights = np.sqrt(sizes)
    design = np.concatenate(parts, axis=1) * weights[:, None]
    solution, _, rank, _ = np.linalg.lstsq(design, means * weights)
    rest = np.square(means * weights - design @ solution).sum()
    return rest / (len(kinds) - rank) / noise


@pytest.mark.parametrize(
    "planted",
    ["C2 C23", "C5 C14", "C3 C6", "C6 C17", "C14 C22", "I5 C2", "I9 I13", "C6 C17 C23", "C14 I6 I8", "C9 C17 C20 I4"],
)
def test_planted_interactions_are_there(rows, planted):
    assert _interaction(rows, tuple(planted.split())) > 8


@pytest.mark.parametrize("absent", ["C5 C8", "C1 C2", "I5 C3", "I1 I2", "C6 C17 C14", "C2 C23 I5", "C5 C6 C8 I4"])
def test_interactions_that_are_not_planted_are_not_there(rows, absent):
    # Chance gives 4 to one pair in 20,000.
    assert _interaction(rows, tuple(absent.split())) < 4


@pytest.fixture(scope="module")
def kinds() -> dict[str, pl.DataFrame]:
    return {kind: SyntheticLog(seed=0, kind=kind).rows(0, ROWS) for kind in KINDS}


def test_kinds_differ_in_their_clicks_alone(rows, kinds):
    assert kinds["mixed"].equals(rows)
    for kind, found in kinds.items():
        assert found.drop(LABEL, PROBABILITY).equals(rows.drop(LABEL, PROBABILITY)), kind
        assert found[LABEL].mean() == pytest.approx(CLICK_RATE, abs=0.015), kind


@pytest.mark.parametrize("rate", [0.01, 0.1, 0.6])
def test_the_click_rate_is_as_wanted(rate):
    found = SyntheticLog(seed=0, click_rate=rate).rows(0, ROWS)
    assert found[LABEL].mean() == pytest.approx(rate, rel=0.15)
    assert found[PROBABILITY].cast(pl.Float64).mean() == pytest.approx(rate, rel=0.03)


@pytest.mark.parametrize("planted", ["C6 C17", "C8 C23", "C9 C17 C20", "C6 C9 C22", "C17 C22 C23"])
def test_interactions_have_pairs_and_triples(kinds, planted):
    assert _interaction(kinds["interactions"], tuple(planted.split())) > 8


@pytest.mark.parametrize("absent", ["C6 C17", "C2 C23", "I5 C2", "C9 C17 C20", "C6 C17 C23"])
def test_ids_matter_alone(kinds, absent):
    assert _interaction(kinds["ids"], tuple(absent.split())) < 4


def test_ids_alone_leave_numbers_without_a_meaning(kinds):
    values = _log_odds(kinds["ids"])
    for name in DENSE:
        ranks = kinds["ids"][name].fill_null(0).rank("average").to_numpy()
        assert abs(np.corrcoef(ranks, values)[0, 1]) < 5 / math.sqrt(ROWS), name


def test_steps_are_no_smooth_functions(kinds):
    values, explained = _log_odds(kinds["steps"]), {"steps": [], "a parabola": []}
    for name in ("I5", "I6", "I8", "I9"):
        counts = kinds["steps"][name].fill_null(0)
        # The steps of even shares of a count's rows.
        _, places = np.unique(
            np.digitize(counts, np.quantile(counts.drop_nulls(), np.arange(64) / 64)), return_inverse=True
        )
        means = np.bincount(places, weights=values) / np.bincount(places)
        explained["steps"].append(means[places].var() / values.var())
        ranks = counts.rank("average").to_numpy() / ROWS
        parabola = np.polyval(np.polyfit(ranks, values, 2), ranks)
        explained["a parabola"].append(parabola.var() / values.var())
    assert sum(explained["steps"]) > 0.15
    assert sum(explained["a parabola"]) < 0.5 * sum(explained["steps"])


def test_a_first_order_model_is_between_the_constant_and_the_truth(rows):
    kinds = 2**12
    ids = [table_rows(rows[name].fill_null(0).to_numpy(), kinds, rows[name].is_null().to_numpy()) for name in SPARSE]
    columns = (np.stack(ids, axis=1) + np.arange(len(SPARSE)) * kinds).ravel()
    one_hots = sparse.csr_array(
        (np.ones(len(columns)), columns, np.arange(ROWS + 1) * len(SPARSE)), shape=(ROWS, len(SPARSE) * kinds)
    )
    counts = np.log1p(np.maximum(rows.select(DENSE).fill_null(0).to_numpy(), 0)) / 4
    inputs = sparse.hstack([one_hots, sparse.csr_array(counts)], format="csr")
    labels, cut = rows[LABEL].to_numpy(), ROWS * 4 // 5
    model = LogisticRegression(C=0.1, max_iter=200, tol=1e-3).fit(inputs[:cut], labels[:cut])
    found = log_loss(labels[cut:], model.predict_proba(inputs[cut:])[:, 1])
    truth = log_loss(labels[cut:], rows[PROBABILITY].cast(pl.Float64).to_numpy()[cut:])
    constant = log_loss(labels[cut:], np.full(ROWS - cut, labels[:cut].mean()))
    assert truth + 0.05 < found < constant - 0.03


def test_the_log_losses_are_those_of_the_files(data):
    source = Schema.load(data).source
    rate = pl.read_parquet(data / "train" / "*.parquet")[LABEL].mean()
    for split in SPLITS:
        rows = pl.read_parquet(data / split / "*.parquet")
        labels, chances = rows[LABEL].to_numpy(), rows[PROBABILITY].cast(pl.Float64).to_numpy()
        entropy = -(chances * np.log(chances) + (1 - chances) * np.log(1 - chances)).mean()
        assert source["best_log_loss"][split] == pytest.approx(log_loss(labels, chances), rel=1e-9)
        assert source["expected_log_loss"][split] == pytest.approx(entropy, rel=1e-9)
        assert source["constant_log_loss"][split] == pytest.approx(log_loss(labels, np.full(len(labels), rate)))
        assert source["best_log_loss"][split] < source["constant_log_loss"][split] - 0.08
    assert (source["name"], source["rows"], source["seed"], source["rejected_rows"]) == ("synthetic", 30_000, 3, 0)


def test_a_split_without_rows_has_no_log_loss(rows):
    summary = BestLogLoss()
    summary.add(rows[:1000], np.zeros(1000, dtype=np.int8))
    assert all(list(losses) == ["train"] for losses in summary.to_json().values())


def test_the_files_have_the_rows_of_the_log(data):
    found = pl.concat([pl.read_parquet(data / split / "*.parquet") for split in SPLITS])
    made = pl.concat(generate(30_000, seed=3))
    for name in (LABEL, PROBABILITY, *SPARSE):
        assert found[name].sort().equals(made[name].sort()), name
    assert found["I5"].sort().equals(made["I5"].cast(pl.Float64).sort())


def test_the_data_set_is_loaded_without_the_probability(data):
    dataset = Dataset(data)
    batch = next(iter(dataset.batches("train", 64)))
    assert batch.dense.shape == (64, len(DENSE))
    assert batch.sparse.keys() == list(SPARSE)
    assert [feature.rows for feature in dataset.schema.sparse] == [int(COLUMNS[name].scale) + 1 for name in SPARSE]


@pytest.mark.parametrize("split", ["hash", "time"])
def test_it_can_be_split_in_every_way(tmp_path, split):
    schema = prepare("synthetic", tmp_path / "out", rows=1000, split=split, progress=False)
    assert sum(schema.rows(name) for name in SPLITS) == 1000


def test_prepare_prints_the_best_reachable_log_loss(tmp_path, capsys):
    arguments = ["prepare", "synthetic", "--output", tmp_path / "out", "--rows", 2000, "--seed", 5, "--quiet"]
    assert main([str(argument) for argument in arguments]) == 0
    best = Schema.load(tmp_path / "out").source["best_log_loss"]
    printed = capsys.readouterr().out
    losses = ", ".join(f"{split} {best[split]:.4f}" for split in SPLITS)
    assert f"best reachable log loss: {losses}\n" in printed
    assert "log loss of the constant click rate: train 0.5" in printed


def test_options_of_a_log_are_in_its_schema(tmp_path):
    options = ["--rows", "2000", "--kind", "steps", "--click-rate", "0.1", "--quiet"]
    assert main(["prepare", "synthetic", "--output", str(tmp_path / "out"), *options]) == 0
    source = Schema.load(tmp_path / "out").source
    assert (source["kind"], source["click_rate"]) == ("steps", 0.1)


def test_an_input_and_too_few_rows_are_refused(tmp_path):
    with pytest.raises(InputError, match="leave out --input"):
        prepare("synthetic", tmp_path / "out", tmp_path / "train.txt")
    with pytest.raises(InputError, match=f"--rows 99: at least {MIN_ROWS}"):
        prepare("synthetic", tmp_path / "out", rows=99)
    with pytest.raises(InputError, match="--kind steep is none of mixed, steps"):
        prepare("synthetic", tmp_path / "out", rows=1000, kind="steep")
    with pytest.raises(InputError, match="--click-rate 1: it must be between 0 and 1"):
        prepare("synthetic", tmp_path / "out", rows=1000, click_rate=1.0)
    with pytest.raises(InputError, match="synthetic has no option size"):
        prepare("synthetic", tmp_path / "out", size=1000)
    assert list(tmp_path.iterdir()) == []


def test_rows_that_are_no_number_are_refused(tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["prepare", "synthetic", "--output", str(tmp_path / "out"), "--rows", "many"])
    assert stop.value.code == 2
    assert "--rows" in capsys.readouterr().err
