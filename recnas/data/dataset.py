"""A data set on disk: opened, checked, and read in row groups."""

import copy
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from recnas.data.batches import Batches
from recnas.data.decoding import Decoder
from recnas.data.files import RowGroup, read, row_groups
from recnas.data.in_memory import Memory
from recnas.features.fed import difference
from recnas.features.schema import SPLITS, Schema
from recnas.util.errors import InputError

OWN_TABLES = ("tabular", "table")
"""Names in the source of a schema that say nothing: a file or a table in memory that only its user knows."""


class Dataset:
    """A prepared data set, opened and checked; examples are read when batches are asked for.

    A split of up to 512 MB as a model is fed it is read once, and kept for as long as this object is there.

    Args:
        path: the folder with `schema.json`, `train/`, `validation/` and `test/`.
        needed: the splits that must have rows of both classes.

    Attributes:
        own_schema: what its files have.
        schema: what its batches have, by default the same; see `fed`. Label, splits and source are the data set's own.

    Raises:
        InputError: one line that says which file does not fit and what to do: no data set there, a column missing or
            of another type, other row counts than `schema.json` says, a split that is empty or of one class only.

    Example:
        dataset = Dataset("data/criteo")
        for batch in dataset.batches("train", 4096, seed=0):
            ...  # batch.dense [4096, 13], batch.sparse 26 keys, batch.label [4096]
    """

    def __init__(self, path: str | Path, needed: Sequence[str] = SPLITS) -> None:
        self.path = Path(path)
        self.own_schema = self.schema = Schema.load(self.path)
        for split in needed:
            self.schema.rows(split)
        self._groups: dict[str, list[RowGroup]] = {}
        for split in SPLITS:
            counts = self.schema.splits[split]
            if split in needed and counts["rows"] == 0:
                remedy = (
                    "from more rows" if self.schema.split.get("name") != "test" else "with another --split than test"
                )
                raise InputError(f"{self.path}: the {split} split is empty; prepare the data set {remedy}")
            if split in needed and counts["positives"] in (0, counts["rows"]):
                label = int(counts["positives"] > 0)
                raise InputError(
                    f"{self.path}: every label of the {split} split is {label}; "
                    "a model needs both classes, prepare the data set from more rows"
                )
            groups = row_groups(self.path / split, self.schema)
            found = sum(group.rows for group in groups)
            if found != counts["rows"]:
                raise InputError(
                    f"{self.path / split}: {found} rows where schema.json says {counts['rows']}; "
                    "prepare the data set again"
                )
            self._groups[split] = groups
        self._memory = Memory(self.own_schema)
        self._decoders: dict[int | None, Decoder] = {}
        self._labels: dict[str, np.ndarray] = {}
        self._rows: dict[str, int] = {}

    @property
    def name(self) -> str:
        """Its name in reports: the published log that it was made from, or for a table of one's own its folder."""
        name = self.schema.source.get("name")
        return str(name) if name and name not in OWN_TABLES else self.path.resolve().name

    def fed(self, schema: Schema) -> "Dataset":
        """The same data set, of which a model is fed what a schema says: its batches have these features.

        Args:
            schema: what `recnas.data.fit_inputs` gave for this data set, or one that was prepared like it.

        Raises:
            InputError: it cannot be made from what the data set has.
        """
        own = self.own_schema
        if (found := difference(own, schema)) is not None:
            remedy = found.remedy or "prepare it like the one that the schema was made for"
            raise InputError(f"{self.path}: {found.what}; {remedy}")
        facts = {name: getattr(own, name) for name in ("label", "positive", "splits", "split", "source")}
        result = copy.copy(self)
        result.schema, result._decoders = replace(schema, **facts), {}
        return result

    def with_labels(self, split: str, labels: np.ndarray) -> "Dataset":
        """The same data set, of which the batches of a split have other labels, such as what a model predicts.

        Args:
            split: "train", "validation" or "test".
            labels: From 0 to 1, `[rows]` float32, in file order.

        Raises:
            ValueError: It has not so many rows.
        """
        if labels.shape != (rows := self.rows(split),):
            raise ValueError(f"labels are of the shape {labels.shape} where the {split} split has {rows} rows")
        result = copy.copy(self)
        result._labels = self._labels | {split: np.asarray(labels, dtype=np.float32)}
        return result

    def with_rows(self, split: str, rows: int, seed: int = 0) -> "Dataset":
        """The same data set, of which a split has fewer rows: row groups of it, drawn at random, in file order.

        Args:
            split: "train", "validation" or "test".
            rows: How many, about: as many row groups as have so many rows. With as many as there are, or more, all.
            seed: Of the drawing.

        Raises:
            ValueError: `rows` is below 1.
        """
        if rows < 1:
            raise ValueError(f"rows is {rows}, it must be 1 or more")
        if rows >= self.rows(split):
            return self
        groups = self._groups[split]
        order = np.random.default_rng(seed).permutation(len(groups))
        count = int(np.searchsorted(np.cumsum([groups[place].rows for place in order]), rows)) + 1
        chosen = [groups[place] for place in sorted(order[:count])]
        result = copy.copy(self)
        result._groups = self._groups | {split: chosen}
        result._rows = self._rows | {split: sum(group.rows for group in chosen)}
        return result

    def row_groups(self, split: str) -> Sequence[RowGroup]:
        """The row groups of "train", "validation" or "test", in file order."""
        return self._groups[split]

    def rows(self, split: str) -> int:
        """Number of rows of "train", "validation" or "test"."""
        return self._rows.get(split, self.schema.rows(split))

    def labels(self, split: str) -> np.ndarray:
        """The labels of "train", "validation" or "test", `[rows]` int8, 0 or 1, in file order; nothing else is read.

        Raises:
            InputError: a file cannot be read.
        """
        name = self.own_schema.label
        return np.concatenate([read(group, [name])[name].to_numpy() for group in self._groups[split]])

    def batches(
        self,
        split: str,
        batch_size: int,
        *,
        seed: int | None = None,
        epoch: int = 0,
        rows: int | None = None,
        max_rows_per_table: int | None = None,
        drop_last: bool = False,
        rank: int = 0,
        world_size: int = 1,
        first_batch: int = 0,
    ) -> Batches:
        """One pass over a split, as an iterable with a length that can be gone through again and again.

        Args:
            split: "train", "validation" or "test".
            batch_size: examples of a step: of a batch or, with several processes, of all their batches together.
            seed: None: file order. A number: shuffled - row groups in a random order, then examples within buffers of
                8 row groups - and always the same for the same seed and epoch.
            epoch: another order for each.
            rows: only so many examples, at most the split's: the first of the order of this seed's epoch 0. Other
                epochs have the same examples in another order.
            max_rows_per_table: caps every embedding table, as search does; None: the schema's tables.
            drop_last: leave out a last batch that is smaller than the others.
            rank, world_size: which of several processes this is. Together they see what one process sees, step by
                step. A step's examples are shared out as evenly as possible, so at the last one a process may get none.
            first_batch: where to go on in a pass that was left: with k, the batches k, k + 1, … of the same pass, bit
                for bit. Row groups that lie wholly before are not read; with k = the number of batches nothing is left.

        Raises:
            InputError: no such split, or a number out of range.
        """
        if not self.rows(split):
            raise InputError(f"{self.path}: the {split} split is empty; there is nothing to read")
        for name, value, least in (("batch_size", batch_size, 1), ("rows", rows, 1), ("world_size", world_size, 1)):
            if value is not None and value < least:
                raise InputError(f"{name} is {value}, it must be {least} or more")
        if not 0 <= rank < world_size:
            raise InputError(f"rank is {rank}, it must be from 0 to {world_size - 1}, one less than the processes")
        for name, value in (("seed", seed), ("epoch", epoch), ("first_batch", first_batch)):
            if value is not None and value < 0:
                raise InputError(f"{name} is {value}, it must be 0 or more")
        decoder, groups = self._decoder(max_rows_per_table), self._groups[split]
        return Batches(
            decoder,
            groups,
            self._memory.split(split, groups, decoder),
            batch_size,
            seed=seed,
            epoch=epoch,
            rows=rows,
            drop_last=drop_last,
            rank=rank,
            world_size=world_size,
            first_batch=first_batch,
            labels=self._labels.get(split),
        )

    def _decoder(self, max_rows: int | None) -> Decoder:
        """What gives the features with tables of so many rows at most."""
        if max_rows not in self._decoders:
            self._decoders[max_rows] = self._memory.decoder(self.schema.capped(max_rows))
        return self._decoders[max_rows]
