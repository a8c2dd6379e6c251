"""A log of Criteo's shape and of any size, made from a seed, whose true click probabilities are known.

It has Criteo's 13 numbers and 26 ids: counts with a long tail, ids of which the k-th most frequent comes about
k^(-9/8) as often as the first, values missing as often as in Criteo's Kaggle log. The columns are drawn
independently; all that a model can learn is planted in the click probability of row x,

    p(x) = sigmoid(bias + Σ_t weight_t · t(x)),    one summand for each term t of its kind in `KINDS`,

where a term is a product of factors, each a function of one column, or an effect for each combination of two or three
columns' ids. A factor has mean 0 and variance 1 over the rows, so that nothing of a product of n columns can be had
from fewer than n, and weight² is the variance that a term adds to the log-odds. Nobody can do better than p, so its log
loss is the best that a model can reach.

The world is not kept in tables: an effect is a hash of the seed, the factor's name and the id. All numbers come from
SplitMix64, and row n from its number n, so that the same seed gives the same rows on any machine, in chunks of any
size, and a longer log begins with the shorter one.
"""

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from recnas.data_prep.bad_rows import BadRows
from recnas.data_prep.criteo import DENSE, LABEL, SPARSE, TABLE_ROWS
from recnas.data_prep.draws import bits_of, key_of, normal_of, uniform_of, zipf_of
from recnas.data_prep.engine import RawTable, Summary
from recnas.data_prep.pipeline import ahead
from recnas.data_prep.recipe import Option, recipe
from recnas.data_prep.split import ROW_ORDER
from recnas.features.feature import SparseFeature
from recnas.features.schema import SPLITS
from recnas.util.console import Console
from recnas.util.errors import InputError

PROBABILITY = "probability"
CLICK_RATE = 0.25
ROWS = 1_000_000
MIN_ROWS = 100
CHUNK_ROWS = 50_000
# Rows over which factors get mean 0 and variance 1, and the bias the click rate: the log's first.
SAMPLE_ROWS = 65_536
# Beyond it a rare product of long tails would make a probability 0 or 1.
MAX_SCORE = 10.0
# The id of this frequency rank has half the effect, rarer ones have less: what cannot be learned for lack of rows is a
# small part of the truth.
COMMON_IDS = 1000
# Intervals of a stepped count, with about as many rows each; small counts have fewer.
STEPS = 16


@dataclass(frozen=True)
class Column:
    """How one column is drawn.

    Args:
        scale: of a count the median, of an id the number of different ones.
        missing: share of rows without a value.
        negative: share of -1 among a count's values.
    """

    scale: float
    missing: float = 0.0
    negative: float = 0.0


def _ids(table_rows: int) -> int:
    """A tenth of Criteo's larger tables: the largest has a million rows."""
    return max(min(table_rows, 1000), table_rows // 10) - 1


# As often as in Criteo's Kaggle log, about.
_MISSING = {
    "C3": 0.03, "C4": 0.03, "C6": 0.12, "C12": 0.03, "C16": 0.03, "C19": 0.44, "C20": 0.44,
    "C21": 0.03, "C22": 0.76, "C24": 0.03, "C25": 0.44, "C26": 0.44,
}  # fmt: skip
COLUMNS = {
    "I1": Column(1, 0.45), "I2": Column(3, 0, 0.1), "I3": Column(6, 0.21), "I4": Column(4, 0.22),
    "I5": Column(2800, 0.03), "I6": Column(32, 0.22), "I7": Column(3, 0.04), "I8": Column(8, 0.001),
    "I9": Column(38, 0.04), "I10": Column(0.5, 0.45), "I11": Column(1, 0.04), "I12": Column(0.3, 0.76, 0.01),
    "I13": Column(4, 0.22),
} | {
    name: Column(_ids(rows), _MISSING.get(name, 0)) for name, rows in TABLE_ROWS.items()
}  # fmt: skip


@dataclass(frozen=True)
class Term:
    """A summand of the log-odds.

    Args:
        factors: the columns of each factor: one, or two or three ids which it takes as one.
        variance: what it adds to the log-odds' variance.
        rank: how many products of such factors are added; the length of the columns' latent vectors.
        stepped: whether a count's factor has a level of its own in each of some intervals, instead of being smooth.
    """

    factors: tuple[tuple[str, ...], ...]
    variance: float
    rank: int = 1
    stepped: bool = False


def _products(variance: float, rank: int, *terms: str, stepped: bool = False) -> list[Term]:
    """Terms that share a variance, each given as its columns."""
    columns = [term.split() for term in terms]
    return [Term(tuple((name,) for name in names), variance / len(columns), rank, stepped) for names in columns]


def _joint(variance: float, *terms: str) -> list[Term]:
    """Terms that share a variance, each an effect for each combination of ids of its columns."""
    return [Term((tuple(term.split()),), variance / len(terms)) for term in terms]


TERMS = (
    *_products(0.2, 1, *DENSE),
    *_products(0.8, 1, *SPARSE),
    # Pairs of ids: latent vectors' products, and an effect for each pair.
    *_products(0.5, 2, "C2 C23", "C5 C14", "C8 C17", "C1 C25", "C3 C6"),
    *(Term(((first, second),), 0.06) for first, second in (("C6", "C17"), ("C14", "C22"), ("C9", "C19"))),
    # A count with an id, and two counts.
    *_products(0.2, 1, "I5 C2", "I7 C17", "I11 C8", "I9 I13"),
    *_products(0.15, 1, "C6 C17 C23", "C5 C9 I2", "C14 I6 I8"),
    *_products(0.07, 1, "C9 C17 C20 I4"),
)
MIXED = "mixed"
KINDS: dict[str, tuple[Term, ...]] = {
    MIXED: TERMS,
    "steps": (
        *_products(1.6, 1, *DENSE, stepped=True),
        *_products(0.2, 1, "I5 I6", "I8 I9", stepped=True),
        *_products(0.2, 1, *SPARSE),
    ),
    "ids": tuple(_products(2.0, 1, *SPARSE)),
    "interactions": (
        *_products(0.2, 1, *SPARSE),
        *_joint(0.75, "C6 C17", "C14 C22", "C9 C25", "C5 C20", "C8 C23"),
        *_joint(0.8, "C9 C17 C20", "C6 C9 C22", "C14 C20 C23", "C17 C22 C23"),
        *_products(0.25, 2, "C2 C23", "C5 C14"),
    ),
}
"""What is planted, by kind: some of all; counts that matter in steps; ids that matter alone; ids that matter in pairs
and triples."""


class SyntheticLog:
    """The log of a seed: any of its rows, with their true click probabilities.

    Args:
        seed: another one gives other effects, another meaning of every id, and other rows.
        kind: one of `KINDS`; what is drawn but for the labels is the same of all.
        click_rate: the share of clicks.
        columns: how each is drawn.

    Example:
        SyntheticLog(seed=0).rows(0, 1000)
    """

    def __init__(
        self, seed: int, kind: str = MIXED, click_rate: float = CLICK_RATE, columns: Mapping[str, Column] = COLUMNS
    ) -> None:
        self._seed, self._terms, self._columns = seed, KINDS[kind], columns
        sample = self._draw(np.arange(SAMPLE_ROWS, dtype=np.uint64))
        self._moments: dict[tuple[tuple[str, ...], int, bool], tuple[float, float]] = {}
        for term in self._terms:
            for columns, dim in itertools.product(term.factors, range(term.rank)):
                values = self._factor(columns, dim, term.stepped, sample)
                # Rounded: on another machine sums may differ in the last bit, the rows shall not.
                moments = round(float(values.mean()), 6), round(float(values.std()), 6)
                self._moments[columns, dim, term.stepped] = moments
        self._bias = round(_bias_for(self._scores(sample), click_rate), 6)

    def rows(self, start: int, stop: int) -> pl.DataFrame:
        """Rows `start` … `stop` - 1.

        Returns:
            The columns label (Int8), I1 … I13 (Int64, null = missing, now and then -1), C1 … C26 (UInt32, null =
            missing) and probability (Float32: exactly that of which the label was drawn).
        """
        numbers = np.arange(start, stop, dtype=np.uint64)
        drawn = self._draw(numbers)
        # float32 hides the last bit of exp, the only figure that machines may compute differently.
        probabilities = _sigmoid(self._bias + self._scores(drawn)).astype(np.float32)
        labels = uniform_of(self._key(LABEL), numbers) < probabilities
        columns = [pl.Series(LABEL, labels.astype(np.int8))]
        for name in DENSE:
            counts = drawn[name]
            missing = np.isnan(counts)
            columns.append(pl.Series(name, pa.array(np.where(missing, 0, counts).astype(np.int64), mask=missing)))
        for name in SPARSE:
            columns.append(pl.Series(name, pa.array(self._raw_values(name, drawn[name]), mask=drawn[name] == 0)))
        return pl.DataFrame([*columns, pl.Series(PROBABILITY, probabilities)])

    def chunks(self, rows: int, chunk_rows: int = CHUNK_ROWS) -> Iterator[pl.DataFrame]:
        """The first `rows` rows, so many at a time; the rows are the same whatever that is."""
        starts = range(0, rows, chunk_rows)
        return ahead(lambda start: self.rows(start, min(rows, start + chunk_rows)), starts)

    def _draw(self, numbers: np.ndarray) -> dict[str, np.ndarray]:
        """The columns of rows of these numbers `[N]`: counts as float64, NaN missing; ids as uint64, 0 missing."""
        drawn = {}
        for name in (*DENSE, *SPARSE):
            column = self._columns[name]
            uniform = uniform_of(self._key(name), numbers)
            # What is left of the draw for a value that is there is uniform again.
            missing = uniform < column.missing
            uniform = np.maximum(uniform - column.missing, 0) / (1 - column.missing)
            if name in SPARSE:
                drawn[name] = np.where(missing, 0, zipf_of(uniform, int(column.scale)))
            else:
                drawn[name] = np.where(missing, np.nan, _count(uniform, column))
        return drawn

    def _scores(self, drawn: Mapping[str, np.ndarray]) -> np.ndarray:
        """`[N]`: the log-odds without the bias."""
        scores = np.zeros(len(drawn[DENSE[0]]))
        for term in self._terms:
            for dim in range(term.rank):
                product = np.full(len(scores), math.sqrt(term.variance / term.rank))
                for columns in term.factors:
                    mean, deviation = self._moments[columns, dim, term.stepped]
                    product *= (self._factor(columns, dim, term.stepped, drawn) - mean) / deviation
                scores += product
        return np.clip(scores, -MAX_SCORE, MAX_SCORE)

    def _factor(self, columns: tuple[str, ...], dim: int, stepped: bool, drawn: Mapping[str, np.ndarray]) -> np.ndarray:
        """`[N]`: a factor before it gets mean 0 and variance 1."""
        key = self._key(f"{' '.join(columns)} effect {dim}")
        if columns[0] in DENSE:
            # A missing count counts as 0, and -1 too: that is what a model is given for them.
            counts = np.nan_to_num(np.maximum(drawn[columns[0]], 0))
            if stepped:
                return normal_of(bits_of(key, _interval(counts, self._columns[columns[0]])))
            share = counts / (counts + self._columns[columns[0]].scale)
            line, bump = normal_of(bits_of(key, np.arange(2, dtype=np.uint64)))
            return share * (line + 4 * bump * (1 - share))
        rareness = np.ones(len(drawn[columns[0]]))
        for name in columns:
            key = bits_of(key, drawn[name])
            rareness += drawn[name] / COMMON_IDS
        return normal_of(key) / rareness

    def _raw_values(self, name: str, ids: np.ndarray) -> np.ndarray:
        """Ids 1 … n as values of up to 32 bits, each its own: table row `id` of n + 1 is theirs again."""
        size = np.uint64(self._columns[name].scale)
        spread = bits_of(self._key(f"{name} value"), ids) % (np.uint64(2**32) // size)
        return ((ids + size - np.uint64(1)) % size + spread * size).astype(np.uint32)

    def _key(self, name: str) -> np.uint64:
        return key_of(f"{self._seed} {name}")


def generate(
    rows: int, seed: int = 0, chunk_rows: int = CHUNK_ROWS, kind: str = MIXED, click_rate: float = CLICK_RATE
) -> Iterator[pl.DataFrame]:
    """The first rows of the log of a seed, as `SyntheticLog.rows` gives them, some at a time.

    Args:
        rows: how many, in all.
        seed: which log.
        chunk_rows: how many at a time; the rows are the same whatever it is.
        kind, click_rate: `SyntheticLog`'s.

    Example:
        next(generate(1000, seed=0))
    """
    return SyntheticLog(seed, kind, click_rate).chunks(rows, chunk_rows)


@recipe(
    "a log of Criteo's shape made from a seed, whose best reachable log loss is known",
    "recnas prepare synthetic --output data/synth --rows 1000000 --seed 0",
    {
        "rows": Option(f"how many rows (default: {ROWS})", int),
        "seed": Option("which log (default: 0)", int),
        "kind": Option(f"what decides about clicks (default: {MIXED})", choices=tuple(KINDS)),
        "click_rate": Option(f"share of clicks (default: {CLICK_RATE})", float),
    },
)
def read_synthetic(
    input: Path | None,
    bad_rows: BadRows,
    progress: bool,
    rows: int = ROWS,
    seed: int = 0,
    kind: str = MIXED,
    click_rate: float = CLICK_RATE,
) -> RawTable:
    """The rows of a synthetic log.

    Args:
        input: must be None.
        bad_rows: not used, every row fits.
        progress: show a bar.
        rows: how many.
        seed, kind, click_rate: `SyntheticLog`'s.

    Raises:
        InputError: an input is given, too few rows are wanted, or there is no such kind or share of clicks.
    """
    if input is not None:
        raise InputError(f"synthetic makes its rows itself; leave out --input {input}")
    if rows < MIN_ROWS:
        raise InputError(f"--rows {rows}: at least {MIN_ROWS} are needed, to be split 8 : 1 : 1")
    if kind not in KINDS:
        raise InputError(f"--kind {kind} is none of {', '.join(KINDS)}")
    if not 0 < click_rate < 1:
        raise InputError(f"--click-rate {click_rate:g}: it must be between 0 and 1")
    # A log without these options has the schema that it always had.
    unusual = {"kind": kind} if kind != MIXED else {}
    unusual |= {"click_rate": click_rate} if click_rate != CLICK_RATE else {}
    return RawTable(
        label=LABEL,
        dense=dict.fromkeys(DENSE, "log1p"),
        chunks=_shown(generate(rows, seed, kind=kind, click_rate=click_rate), rows, progress),
        sparse=[SparseFeature(name, int(COLUMNS[name].scale) + 1) for name in SPARSE],
        time=ROW_ORDER,
        source={"name": "synthetic", "rows": rows, "seed": seed, **unusual},
        extra=(PROBABILITY,),
        summaries=(BestLogLoss(),),
    )


def _shown(chunks: Iterator[pl.DataFrame], rows: int, progress: bool) -> Iterator[pl.DataFrame]:
    with Console(progress).bar(rows, "making", "rows") as bar:
        for chunk in chunks:
            bar.update(len(chunk))
            yield chunk


class BestLogLoss(Summary):
    """By split: the log loss of the true probabilities, the one to be expected of them, and that of a constant.

    The first is the best that a model can reach on these rows, but for luck; the second is the mean entropy, free of
    the labels' chance; the third is that of predicting the training split's click rate.
    """

    def __init__(self) -> None:
        self._rows = np.zeros(len(SPLITS), dtype=np.int64)
        self._clicks = np.zeros(len(SPLITS))
        self._loss = np.zeros(len(SPLITS))
        self._entropy = np.zeros(len(SPLITS))

    def add(self, chunk: pl.DataFrame, places: np.ndarray) -> None:
        labels = chunk[LABEL].to_numpy()
        probabilities = chunk[PROBABILITY].cast(pl.Float64).to_numpy()
        click, none = -np.log(probabilities), -np.log1p(-probabilities)
        losses = np.where(labels, click, none)
        entropies = probabilities * click + (1 - probabilities) * none
        self._rows += np.bincount(places, minlength=len(SPLITS))
        for sums, values in ((self._clicks, labels), (self._loss, losses), (self._entropy, entropies)):
            sums += np.bincount(places, weights=values, minlength=len(SPLITS))

    def to_json(self) -> dict[str, Any]:
        rate = self._clicks[0] / self._rows[0]
        constant = -self._clicks * math.log(rate) - (self._rows - self._clicks) * math.log1p(-rate)
        sums = {"best_log_loss": self._loss, "expected_log_loss": self._entropy, "constant_log_loss": constant}
        # A split by hash of few rows may be empty.
        filled = [place for place in range(len(SPLITS)) if self._rows[place]]
        return {
            name: {SPLITS[place]: float(values[place] / self._rows[place]) for place in filled}
            for name, values in sums.items()
        }


def _count(uniform: np.ndarray, column: Column) -> np.ndarray:
    """Whole numbers with a long tail (Lomax, shape 2) and about the column's median, and -1."""
    negative = uniform < column.negative
    uniform = np.maximum(uniform - column.negative, 0) / (1 - column.negative)
    counts = np.floor((1 / np.sqrt(1 - uniform) - 1) * (column.scale / (math.sqrt(2) - 1)))
    return np.where(negative, -1, counts)


def _interval(counts: np.ndarray, column: Column) -> np.ndarray:
    """`[N]` uint64: which of the intervals each count, from 0, is in."""
    edges = np.unique(_count(np.arange(1, STEPS) / STEPS, Column(column.scale)))
    return np.searchsorted(edges, counts, side="right").astype(np.uint64)


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits))


def _bias_for(scores: np.ndarray, rate: float) -> float:
    """With which log-odds the mean probability is the rate."""
    low, high = -30.0, 30.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _sigmoid(middle + scores).mean() < rate else (low, middle)
    return low
