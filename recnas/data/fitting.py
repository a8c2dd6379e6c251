"""What a model is fed of a data set, as a schema: bins, joint ids and known ids are taken from its training rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import polars as pl
import pyarrow as pa
from polars import selectors

from recnas.data.dataset import Dataset
from recnas.data.decoding import Decoder
from recnas.data.files import decode, read
from recnas.data.scanning import columns_of
from recnas.features.bins import Bins, greedy_bins
from recnas.features.feature import MISSING_INDICATOR, SHARED, DenseFeature, SparseFeature
from recnas.features.fed import without_raw_numbers
from recnas.features.frames import scan
from recnas.features.inputs import Inputs
from recnas.features.number_field import FIELD, PIECEWISE, NumberField
from recnas.features.raw_values import joint_values
from recnas.features.schema import RAW_NUMBERS_SINCE, VERSION, Schema
from recnas.util.errors import InputError

SAMPLE_ROWS = 2_000_000
"""From so many training rows at most, evenly spread, bins are made."""
JOINT_COUNT = 2
"""In so many training rows values occur together, at the least, that have a joint id of their own."""
# What is held in memory at a time: 256 MB of numbers, and as much of joint ids.
_NUMBERS_AT_ONCE = 1 << 25
_JOINT_IDS_AT_ONCE = 1 << 26


def fit_inputs(dataset: Dataset, inputs: Inputs) -> Schema:
    """What a model is fed of a data set: the schema of `Dataset.fed`, and of the model.

    Its dense features are the numbers as columns (if they are fed so, or as fields), then the indicators of missing
    ones, `price (missing)`; its sparse features those of the data set, then bins, `price (bins)`, then joint ids,
    `month × day`. Of features that are dropped there are only the joint ids that are made of them. Only training rows
    are looked at, and the same rows give the same. Memory does not grow with the rows, but for 4 bytes a row of a joint
    id, and with the different values of one feature.

    Args:
        dataset: A data set, fed in whatever way.
        inputs: Which features are fed, how numbers are, and which have joint ids.

    Raises:
        InputError: A joint id is of features that cannot have one, a feature to be dropped is not there, no id would be
            left, or numbers are to be fed in a way for which the data set is too old.
    """
    return _Fitting(dataset.fed(dataset.own_schema), inputs).schema()


class _Fitting:
    def __init__(self, dataset: Dataset, inputs: Inputs) -> None:
        self._dataset, self._inputs, self._own = dataset, inputs, dataset.own_schema
        self._numbers = {feature.name: feature for feature in self._own.dense}
        self._fed_numbers = [name for name in self._numbers if name not in inputs.dropped]
        self._names = {self._own.label, *self._numbers, *(feature.name for feature in self._own.sparse)}

    def schema(self) -> Schema:
        inputs, own = self._inputs, self._own
        crosses = [self._parts(cross) for cross in inputs.crosses]
        if inputs.as_prepared:
            return own
        self._check_dropped()
        joint_numbers = {name for parts in crosses for name in parts if name in self._numbers}
        self._check_version(joint_numbers)
        kinds, fed_numbers = set(inputs.numbers), set(self._fed_numbers)
        as_bins = joint_numbers | (fed_numbers if "bins" in kinds else set())
        pieces = fed_numbers if PIECEWISE in kinds else set()
        bins, knots = {}, {}
        for name, (values, counts) in self._counts([name for name in self._numbers if name in as_bins | pieces]):
            if name in as_bins:
                bins[name] = self._bins(name, greedy_bins(values, counts, inputs.bins))
            if name in pieces:
                knots[name] = self._knots(name, greedy_bins(values, counts, inputs.pieces))
        indicators = self._indicators() if MISSING_INDICATOR in kinds else {}
        fields = [*self._fields(kinds, indicators), *self._piecewise(knots, indicators)]
        columns = [self._numbers[name] for name in self._fed_numbers] if "columns" in kinds or fields else ()
        of_joint_ids = {name for parts in crosses for name in parts}
        read = [item for item in own.sparse if item.name not in inputs.dropped or item.name in of_joint_ids]
        known = {feature.name: feature for feature in self._known(read)}
        sparse = [feature for name, feature in known.items() if name not in inputs.dropped]
        if "bins" in kinds:
            sparse += [feature for name, feature in bins.items() if name in fed_numbers]
        parts = {**bins, **known}
        joint = self._joint([[parts[name] for name in names] for names in crosses])
        return replace(
            own,
            dense=(*columns, *indicators.values()),
            sparse=(*sparse, *joint),
            number_fields=tuple(fields),
            # Numbers that fields alone are made of are no columns.
            reads_columns="columns" in kinds or not fields,
            # The ids of versions 3 and 4 are the same.
            version=VERSION if own.version >= RAW_NUMBERS_SINCE - 1 else own.version,
        )

    def _parts(self, cross: str) -> list[str]:
        """The names of the features of a joint id.

        Raises:
            InputError: There is none of a name, or one is a list of ids.
        """
        names = cross.split(":")
        sparse = {feature.name: feature for feature in self._own.sparse}
        for name in names:
            if name not in sparse and name not in self._numbers:
                known = ", ".join([*self._numbers, *sparse])
                raise InputError(f"--cross {cross}: there is no feature {name}; there are {known}")
            if name in sparse and sparse[name].multi_valued:
                raise InputError(f"--cross {cross}: {name} is a list of ids, which no joint id can have")
        return names

    def _check_dropped(self) -> None:
        """Whether what is dropped is there, and an id of some kind beside it, however numbers are fed.

        Raises:
            InputError: It is not.
        """
        inputs, every = self._inputs, [*self._numbers, *(feature.name for feature in self._own.sparse)]
        for name in inputs.dropped:
            if name not in every:
                raise InputError(f"--drop {name}: there is no feature {name}; there are {', '.join(every)}")
        if not inputs.crosses and all(item.name in inputs.dropped for item in self._own.sparse):
            raise InputError(f"--drop {' '.join(inputs.dropped)}: no ids are left, and a model needs one")

    def _check_version(self, joint_numbers: set[str]) -> None:
        if self._own.version >= RAW_NUMBERS_SINCE or not self._numbers:
            return
        kinds = [kind for kind in ("bins", PIECEWISE, MISSING_INDICATOR) if kind in self._inputs.numbers]
        if kinds or joint_numbers:
            found = without_raw_numbers(self._own, kinds[0] if kinds else "parts of joint ids")
            raise InputError(f"{self._dataset.path}: {found.what}; {found.remedy}")

    def _counts(self, names: Sequence[str]) -> Iterator[tuple[str, tuple[np.ndarray, np.ndarray]]]:
        """The different values of numbers in training rows that are evenly spread, with the rows of each."""
        rows = self._dataset.rows("train")
        step = -(-rows // SAMPLE_ROWS)
        at_once = max(1, _NUMBERS_AT_ONCE // -(-rows // step))
        for start in range(0, len(names), at_once):
            group = names[start : start + at_once]
            sample = self._sample(group, step)
            for name in group:
                values = sample[name].drop_null().to_numpy()
                yield name, np.unique(values[np.isfinite(values)], return_counts=True)

    def _sample(self, names: Sequence[str], step: int) -> pa.Table:
        """Columns of each `step`-th training row."""
        tables, first = [], 0
        for group in self._dataset.row_groups("train"):
            table = read(group, names)
            tables.append(table.take(pa.array(np.arange(-first % step, len(table), step))))
            first += len(table)
        return pa.concat_tables(tables)

    def _bins(self, name: str, bins: Bins) -> SparseFeature:
        number = self._numbers[name]
        edges = tuple(bins.edges.tolist())
        return SparseFeature(
            self._free(f"{name} (bins)"),
            len(edges) + 2,
            column=number.column,
            missing=number.missing,
            number=name,
            edges=edges,
        )

    def _knots(self, name: str, bins: Bins) -> tuple[float, ...]:
        """The knots of a piecewise-linear function, in transformed units."""
        return tuple(np.unique(self._numbers[name].apply(bins.knots)).tolist())

    def _indicators(self) -> dict[str, DenseFeature]:
        """Of numbers that are missing in some training row."""
        names = self._fed_numbers
        missing = self._training.select(selectors.by_name(names).null_count()) if names else None
        counts = {} if missing is None else missing.collect(engine="streaming").row(0, named=True)
        return {
            name: replace(
                self._numbers[name],
                name=self._free(f"{name} (missing)"),
                transform={"name": MISSING_INDICATOR},
                number=name,
            )
            for name in names
            if counts[name]
        }

    def _fields(self, kinds: set[str], indicators: Mapping[str, DenseFeature]) -> Iterator[NumberField]:
        if FIELD in kinds:
            for name in self._fed_numbers:
                yield NumberField(name, FIELD, missing=_name_of(indicators.get(name)))

    def _piecewise(
        self, knots: Mapping[str, tuple[float, ...]], indicators: Mapping[str, DenseFeature]
    ) -> Iterator[NumberField]:
        for name, edges in knots.items():
            # A number that is always the same has no pieces.
            if len(edges) > 1:
                yield NumberField(name, PIECEWISE, edges, _name_of(indicators.get(name)))

    def _known(self, features: Sequence[SparseFeature]) -> tuple[SparseFeature, ...]:
        """The features with the ids kept that occur often enough; a table never gets more rows than it has."""
        least = self._inputs.min_count
        if least == 1:
            return tuple(features)
        result = []
        for feature, column in columns_of(self._training, features, self._dataset.rows("train")):
            values = column.explode("value") if feature.multi_valued else column
            counts = values.drop_nulls().group_by("value").len("count").filter(pl.col("count") >= least)
            found = counts.collect(engine="streaming")
            result.append(_with_kept(feature, found["value"].to_numpy(), found["count"].to_numpy()))
        return tuple(result)

    def _joint(self, crosses: Sequence[Sequence[SparseFeature]]) -> list[SparseFeature]:
        """Joint ids of the features."""
        rows = self._dataset.rows("train")
        at_once = max(1, _JOINT_IDS_AT_ONCE // rows)
        result = []
        for start in range(0, len(crosses), at_once):
            group = crosses[start : start + at_once]
            for parts, values in zip(group, self._joint_values(group), strict=True):
                often = _met_often(values, max(JOINT_COUNT, self._inputs.min_count))
                kept = _most_frequent(*often, self._inputs.cross_rows)
                name = self._free(" × ".join(part.number or part.name for part in parts))
                result.append(
                    SparseFeature(name, len(kept) + 2, kept=tuple(kept.tolist()), unseen=SHARED, joint=tuple(parts))
                )
        return result

    def _joint_values(self, crosses: Sequence[Sequence[SparseFeature]]) -> np.ndarray:
        """`[C, training rows]` uint32: the hash of each example's values."""
        parts = {part.name: part for names in crosses for part in names}
        decoder = Decoder(self._own, replace(self._own, dense=(), sparse=tuple(parts.values())))
        found = np.empty((len(crosses), self._dataset.rows("train")), dtype=np.uint32)
        places = {name: place for place, name in enumerate(parts)}
        start = 0
        for group in self._dataset.row_groups("train"):
            block = decode([group], decoder)
            for row, names in zip(found, crosses, strict=True):
                row[start : start + len(block)] = joint_values([block.single[places[part.name]] for part in names])
            start += len(block)
        return found

    @property
    def _training(self) -> pl.LazyFrame:
        return scan([self._dataset.path / "train"])

    def _free(self, name: str) -> str:
        """A name that no feature has."""
        number, free = 2, name
        while free in self._names:
            number, free = number + 1, f"{name} {number}"
        self._names.add(free)
        return free


def _name_of(feature: DenseFeature | None) -> str | None:
    return None if feature is None else feature.name


def _with_kept(feature: SparseFeature, ids: np.ndarray, counts: np.ndarray) -> SparseFeature:
    """A feature of whose ids, as the data set has them, only these are kept."""
    if feature.shared_id is not None:
        own = ids != feature.shared_id
        ids, counts = ids[own], counts[own]
    # Where a data set cannot tell unknown from missing values, rare ones count as missing, too.
    unseen = SHARED if feature.kept is None else feature.unseen
    beside = 2 if unseen == SHARED else 1
    ids = _most_frequent(ids, counts, feature.rows - beside)
    kept = tuple((ids if feature.kept is None else feature.kept_array[ids]).tolist())
    if kept == feature.kept:
        return feature
    found = replace(feature, kept=kept, unseen=unseen, rows=max(2, len(kept) + beside), words=())
    words = tuple(word for word in feature.words if found.id_of(word) not in (None, found.shared_id))
    return replace(found, words=words)


def _met_often(values: np.ndarray, least: int) -> tuple[np.ndarray, np.ndarray]:
    """Those of values `[N]` that are there so many times at least, ascending, and how often. The values get sorted."""
    if len(values) < least:
        return values[:0], np.zeros(0, dtype=np.int64)
    values.sort()
    # Of most of very many there is but one: nothing is made for each of them.
    first = np.ones(len(values) - least + 1, dtype=bool)
    np.not_equal(values[1 : len(first)], values[: len(first) - 1], out=first[1:])
    first &= values[: len(first)] == values[len(values) - len(first) :]
    starts = np.flatnonzero(first)
    often = values[starts]
    return often, np.searchsorted(values, often, side="right") - starts


def _most_frequent(ids: np.ndarray, counts: np.ndarray, most: int) -> np.ndarray:
    """Up to so many of the ids, ascending: the most frequent, of equally frequent ones the smallest."""
    order = np.argsort(ids)
    ids, counts = ids[order], counts[order]
    return ids if len(ids) <= most else np.sort(ids[np.argsort(-counts.astype(np.int64), kind="stable")[:most]])
