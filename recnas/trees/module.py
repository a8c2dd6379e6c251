"""LightGBM's trees as a torch module, which can be a program or an ONNX file.

Sizes: B rows, C columns, T trees, N nodes of all trees.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from recnas.features.schema import Schema
from recnas.nn.lists import rows_of
from recnas.trees.columns import ListedValue, TreeColumns
from recnas.trees.files import ENSEMBLES
from recnas.trees.lightgbm_text import MISSING_IS_ZERO, WORD, ZERO_IS_MISSING, read_text
from recnas.trees.model import read_columns
from recnas.trees.splits import NumberCodes, Splits, split_arrays

HAVE_MODULES = ("lightgbm",)
"""Families whose trees can be had as a module."""
FEWER = 0.8
"""The share of trees that has to be left before the others are set aside."""
ALMOST_ZERO = 1e-35
"""LightGBM takes numbers up to this size for zeros."""


class TreeModule(nn.Module):
    """Logits by trees, of the inputs that a program of a network takes.

    The trees are gone through side by side, a level at a time: first all of them, in the end only the deepest.

    Args:
        schema: The features.
        columns: What becomes of them.
        splits: The trees.

    Example:
        module = tree_module(Path("models/criteo"), "lightgbm", schema)
        logits = module(*map(torch.from_numpy, schema.encode(rows).arrays))
    """

    def __init__(self, schema: Schema, columns: TreeColumns, splits: Splits) -> None:
        super().__init__()
        self.schema = schema
        self.codes = _Codes(schema, columns, splits)
        for name in ("column", "start", "first", "values", "words", "roots"):
            self.register_buffer(name, torch.from_numpy(getattr(splits, name)))
        # 1 in the place of a code in its word.
        self.register_buffer(
            "bits", torch.from_numpy((np.uint32(1) << np.arange(WORD, dtype=np.uint32)).view(np.int32))
        )
        self.deep = _by_level(splits.depths)
        """By level how many trees are gone through."""

    @property
    def schemas(self) -> list[Schema]:
        """What it is fed; see `CTRModel.schemas`."""
        return [self.schema]

    def forward(self, dense: Tensor, ids: Tensor, *lists: Tensor) -> Tensor:
        """Logits `[B]` float64; arguments as those of `recnas.export.program.ProbabilityModel`."""
        rows = dense.shape[0]
        leaves = self.roots.unsqueeze(1).expand(-1, rows).reshape(-1)
        if self.deep:
            leaves = self._leaves(leaves, self.codes(dense, ids, *lists))
        return self.values.gather(0, leaves).reshape(-1, rows).sum(0)

    def _leaves(self, nodes: Tensor, codes: Tensor) -> Tensor:
        """The leaves that trees come to, `[T · B]`: all rows of the first tree, then those of the next.

        Args:
            nodes: Their roots, likewise: ONNX Runtime gathers fastest where all is flat.
            codes: Those of the columns, `[B, C]`.
        """
        rows, columns = codes.shape
        words = (codes // WORD).reshape(-1)
        bits = self.bits.gather(0, (codes % WORD).reshape(-1))
        of_row, cells = torch.arange(rows) * columns, None
        before, ended = len(self.roots), []
        for deep in self.deep:
            if deep < before:
                of_tree = nodes.reshape(before, -1)
                ended.append(of_tree[deep:].reshape(-1))
                nodes = of_tree[:deep].reshape(-1)
            if deep < before or cells is None:
                before, cells = deep, of_row.expand(deep, -1).reshape(-1)
            cell = self.column.gather(0, nodes) + cells
            word = self.words.gather(0, self.start.gather(0, nodes) + words.gather(0, cell))
            goes_right = (word & bits.gather(0, cell)) == 0
            nodes = self.first.gather(0, nodes) + goes_right.long()
        return torch.cat((nodes, *reversed(ended)))


def _by_level(depths: np.ndarray) -> list[int]:
    """By level how many trees are gone through. To set few aside is not worth its own operators.

    Args:
        depths: How deep each tree is, descending.
    """
    found = [len(depths)]
    for level in range(int(depths.max(initial=0))):
        deep = int((depths > level).sum())
        found.append(deep if deep <= FEWER * found[-1] else found[-1])
    return found[1:]


class _Codes(nn.Module):
    """Rows' codes `[B, C]`; see `Splits`.

    Args:
        schema: The features.
        columns: What becomes of them.
        splits: Says which columns are needed, and what their codes are.
    """

    def __init__(self, schema: Schema, columns: TreeColumns, splits: Splits) -> None:
        super().__init__()
        singles = [feature.name for feature in schema.singles]
        self.numbers = _NumberCodes(schema, columns, splits.numbers) if splits.numbers else None
        self.categories = splits.categories != ()
        if self.categories:
            of = [columns.categories[item.place - columns.first_category].feature for item in splits.categories]
            self.register_buffer("singles", torch.tensor([singles.index(name) for name in of]))
            self.rows = _SortedLists([item.rows for item in splits.categories])

    def forward(self, dense: Tensor, ids: Tensor, *lists: Tensor) -> Tensor:
        """Codes `[B, C]` int64."""
        codes = [] if self.numbers is None else [self.numbers(dense, *lists)]
        if self.categories:
            rows = ids.index_select(1, self.singles)
            places = self.rows(rows)
            codes.append(torch.where(self.rows.at(places) == rows, places, self.rows.sizes))
        return torch.cat(codes, 1)


class _NumberCodes(nn.Module):
    """Codes of columns of numbers; arguments but for the last as those of `_Codes`.

    Args:
        numbers: What the codes are, in the order of the columns: those of lists are the last.
    """

    def __init__(self, schema: Schema, columns: TreeColumns, numbers: Sequence[NumberCodes]) -> None:
        super().__init__()
        dense = {feature.name: place for place, feature in enumerate(schema.dense)}
        indicators = {feature.number: dense[feature.name] for feature in schema.dense if feature.number is not None}
        names = [columns.numbers[item.place] for item in numbers if item.place < len(columns.numbers)]
        values = [columns.listed[item.place - len(columns.numbers)] for item in numbers[len(names) :]]
        self.register_buffer("dense", torch.tensor([dense[name] for name in names], dtype=torch.int64))
        # A column without an indicator may look at any: it does not count.
        places = [indicators.get(name, 0) for name in names]
        self.register_buffer("indicators", torch.tensor(places, dtype=torch.int64))
        self.register_buffer("has_indicator", torch.tensor([name in indicators for name in names], dtype=torch.bool))
        self.listed = _ListedValues(schema, values) if values else None
        self.thresholds = _SortedLists([item.thresholds for item in numbers])
        kinds = torch.tensor([item.missing for item in numbers])
        self.register_buffer("has_code", kinds != MISSING_IS_ZERO)
        self.register_buffer("zero_is_missing", kinds == ZERO_IS_MISSING)

    def forward(self, dense: Tensor, *lists: Tensor) -> Tensor:
        """Codes `[B, C]` int64 of these columns."""
        values = dense.index_select(1, self.dense)
        missing = torch.isnan(values) | ((dense.index_select(1, self.indicators) != 0) & self.has_indicator)
        values = torch.where(missing | (values.abs() <= ALMOST_ZERO), 0.0, values)
        if self.listed is not None:
            listed = self.listed(dense.shape[0], *lists)
            values = torch.cat((values, listed), 1)
            missing = torch.cat((missing, torch.zeros_like(listed, dtype=torch.bool)), 1)
        missing = self.has_code & (missing | (self.zero_is_missing & (values == 0)))
        return torch.where(missing, self.thresholds.sizes + 1, self.thresholds(values))


class _ListedValues(nn.Module):
    """Whether lists have values.

    Args:
        schema: The features.
        values: The values that are looked for.
    """

    def __init__(self, schema: Schema, values: Sequence[ListedValue]) -> None:
        super().__init__()
        lists = [feature.name for feature in schema.lists]
        self.lists = sorted({lists.index(value.feature) for value in values})
        """The places of the lists, each of which is looked through once."""
        of_list = [[n for n, value in enumerate(values) if value.feature == lists[place]] for place in self.lists]
        self.wanted = nn.ParameterList(
            nn.Parameter(torch.tensor([values[n].row for n in numbers]), requires_grad=False) for numbers in of_list
        )
        self.register_buffer("order", torch.tensor([n for numbers in of_list for n in numbers]).argsort())

    def forward(self, rows: int, *lists: Tensor) -> Tensor:
        """1 where a list has a value, else 0, `[B, V]` float32."""
        found = []
        for place, wanted in zip(self.lists, self.wanted, strict=True):
            ids, offsets = lists[2 * place], lists[2 * place + 1]
            has = (ids.unsqueeze(1) == wanted).float()
            of_row = rows_of(offsets, rows, ids.shape[0])
            found.append(torch.zeros(rows, has.shape[1]).index_add(0, of_row, has))
        return (torch.cat(found, 1).index_select(1, self.order) > 0).float()


class _SortedLists(nn.Module):
    """For each column an ascending list of numbers, none empty.

    Args:
        lists: One a column.
    """

    def __init__(self, lists: Sequence[np.ndarray]) -> None:
        super().__init__()
        sizes = np.array([len(item) for item in lists])
        self.register_buffer("flat", torch.from_numpy(np.concatenate(lists)))
        self.register_buffer("sizes", torch.from_numpy(sizes))
        self.register_buffer("starts", torch.from_numpy(np.cumsum(sizes) - sizes))
        self.steps = [1 << power for power in reversed(range(int(sizes.max()).bit_length()))]

    def at(self, places: Tensor) -> Tensor:
        """The numbers at places `[B, C]`, or the last ones where a list has fewer."""
        cells = self.starts + torch.minimum(places, self.sizes - 1)
        return self.flat.gather(0, cells.reshape(-1)).reshape(places.shape)

    def forward(self, values: Tensor) -> Tensor:
        """How many numbers of their column's list are less than values `[B, C]`, int64."""
        count = torch.zeros_like(values, dtype=torch.int64)
        for step in self.steps:
            last = count + (step - 1)
            is_less = (last < self.sizes) & (self.at(last) < values)
            count = torch.where(is_less, count + step, count)
        return count


def tree_module(folder: Path, family: str, schema: Schema) -> TreeModule:
    """The module of what `TreeModel.save` wrote; the library need not be installed.

    Args:
        folder: Where it is.
        family: One of `HAVE_MODULES`.
        schema: The features it takes.

    Raises:
        InputError: A file is missing or damaged, or they belong to different models.
    """
    columns, file = read_columns(folder, family, schema), folder / ENSEMBLES[family]
    return TreeModule(schema, columns, split_arrays(read_text(file, len(columns)), columns, file))
