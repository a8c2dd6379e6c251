"""Trees as flat arrays in which every split is a set.

Each column of the matrix becomes a small number, a code: of a number, how many of the column's thresholds are below it;
of an id, its place among those that some split names. So numbers and categories are split alike, and each split that
occurs several times is kept once: as bits, one for each code of its column, which say what goes left.

Sizes: N nodes of all T trees, leaves included; C columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recnas.trees.columns import TreeColumns
from recnas.trees.library import unreadable
from recnas.trees.lightgbm_text import DEFAULT_LEFT, MISSING_IS_ZERO, WORD, TextTree

MOST_WORDS = 2**31 - 1


@dataclass(frozen=True)
class NumberCodes:
    """Codes of a column of numbers: 0 to n for the intervals between n thresholds, n + 1 for missing values.

    Attributes:
        place: The column's.
        missing: `MISSING_IS_ZERO` (and there is no code of its own), `ZERO_IS_MISSING` or `NAN_IS_MISSING`.
        thresholds: Ascending, `[n]` float32; a threshold itself is in the interval below.
    """

    place: int
    missing: int
    thresholds: np.ndarray

    @property
    def codes(self) -> int:
        """How many there are."""
        return len(self.thresholds) + (1 if self.missing == MISSING_IS_ZERO else 2)


@dataclass(frozen=True)
class CategoryCodes:
    """Codes of a column of categories: the place of a table row among those that are named, n for all others.

    Attributes:
        place: The column's.
        rows: Table rows that have a code of their own, ascending, `[n]` int64.
    """

    place: int
    rows: np.ndarray

    @property
    def codes(self) -> int:
        """How many there are."""
        return len(self.rows) + 1


@dataclass(frozen=True)
class Splits:
    """Trees as arrays over all nodes.

    Attributes:
        numbers: Columns of numbers that are split.
        categories: Columns of categories that are split; they come behind those of numbers.
        column: The column that a node looks at, `[N]` int64.
        start: Where the words of its set begin, `[N]` int64.
        first: Its left child, which the right one stands behind, `[N]` int64. A leaf is never left.
        values: What a leaf adds to the logit, `[N]` float64.
        words: The sets, 32 codes a word, int32.
        roots: The first node of each tree, the deepest trees first, `[T]` int64.
        depths: How deep each of these trees is, `[T]`.
    """

    numbers: tuple[NumberCodes, ...]
    categories: tuple[CategoryCodes, ...]
    column: np.ndarray
    start: np.ndarray
    first: np.ndarray
    values: np.ndarray
    words: np.ndarray
    roots: np.ndarray
    depths: np.ndarray


def split_arrays(trees: Sequence[TextTree], columns: TreeColumns, file: Path) -> Splits:
    """Trees as flat arrays.

    Args:
        trees: Those of a file.
        columns: What they take.
        file: Where they are from, for messages.

    Raises:
        InputError: Numbers are split as categories or the other way round, or there is too much of it.
    """
    joined = _Joined.of(trees)
    if ((joined.columns >= columns.first_category) != joined.is_categorical).any():
        raise unreadable(file, "LightGBM", "a column is split as it should not be")
    sets = _Sets()
    start, column = np.zeros(len(joined.columns), np.int64), np.zeros(len(joined.columns), np.int64)
    numbers, categories = [], []
    of_numbers = ~joined.is_categorical
    kinds = np.unique(np.stack((joined.columns, joined.missing))[:, of_numbers], axis=1)
    for place, missing in kinds.T.tolist():
        nodes = np.flatnonzero(of_numbers & (joined.columns == place) & (joined.missing == missing))
        column[nodes] = len(numbers)
        codes, start[nodes] = _number_sets(joined, nodes, place, missing, sets)
        numbers.append(codes)
    for place in np.unique(joined.columns[joined.is_categorical]).tolist():
        nodes = np.flatnonzero(joined.is_categorical & (joined.columns == place))
        column[nodes] = len(numbers) + len(categories)
        kept = columns.categories[place - columns.first_category].kept
        codes, start[nodes] = _category_sets(trees, joined, nodes, place, kept, sets)
        categories.append(codes)
    # A leaf goes left, to itself, whatever the first column's code is.
    most_codes = max((item.codes for item in (*numbers, *categories)), default=1)
    all_codes = sets.add(np.full((1, -(-most_codes // WORD)), np.iinfo(np.uint32).max, np.uint32))
    if sets.size > MOST_WORDS:
        raise unreadable(file, "LightGBM", "its sets of categories are too many for a program")
    return _by_level(joined, column, start, int(all_codes[0]), sets.words(), tuple(numbers), tuple(categories))


@dataclass(frozen=True)
class _Joined:
    """The inner nodes of all trees one behind the other, and the leaves likewise.

    Attributes:
        trees: The tree of each inner node.
        columns, thresholds, decisions: As in `TextTree`.
        left, right: An inner node, or -1 - j for leaf j, of all trees together.
        values: Those of leaves.
        roots: The first node of each tree, likewise.
    """

    trees: np.ndarray
    columns: np.ndarray
    thresholds: np.ndarray
    decisions: np.ndarray
    is_categorical: np.ndarray
    missing: np.ndarray
    left: np.ndarray
    right: np.ndarray
    values: np.ndarray
    roots: np.ndarray

    @classmethod
    def of(cls, trees: Sequence[TextTree]) -> _Joined:
        inner, leaves = (np.array([len(getattr(tree, name)) for tree in trees]) for name in ("columns", "values"))
        inner_start, leaf_start = np.cumsum(inner) - inner, np.cumsum(leaves) - leaves

        def joined(name: str) -> np.ndarray:
            return np.concatenate([getattr(tree, name) for tree in trees])

        of_tree = np.repeat(np.arange(len(trees)), inner)

        def children(name: str) -> np.ndarray:
            own = joined(name)
            return np.where(own >= 0, own + inner_start[of_tree], own - leaf_start[of_tree])

        return cls(
            of_tree,
            *map(joined, ("columns", "thresholds", "decisions", "is_categorical", "missing")),
            children("left"),
            children("right"),
            joined("values"),
            np.where(inner > 0, inner_start, -1 - leaf_start),
        )


class _Sets:
    """Sets of codes as words, one behind the other; those of a column are equally long."""

    def __init__(self) -> None:
        self._parts: list[np.ndarray] = []
        self.size = 0

    def add(self, sets: np.ndarray) -> np.ndarray:
        """Adds sets `[S, W]`; gives where each begins, `[S]`."""
        starts = self.size + sets.shape[1] * np.arange(len(sets))
        self._parts.append(sets.reshape(-1))
        self.size += sets.size
        return starts

    def words(self) -> np.ndarray:
        return np.concatenate(self._parts).view(np.int32)


def _number_sets(
    joined: _Joined, nodes: np.ndarray, place: int, missing: int, sets: _Sets
) -> tuple[NumberCodes, np.ndarray]:
    """The codes of a column of numbers, and where the sets of its nodes begin."""
    thresholds, numbers = np.unique(rounded_down(joined.thresholds[nodes]), return_inverse=True)
    codes = NumberCodes(place, missing, thresholds)
    goes_left = (joined.decisions[nodes] & DEFAULT_LEFT) != 0
    distinct, which = np.unique(2 * numbers + goes_left, return_inverse=True)
    bits = np.zeros((len(distinct), codes.codes), dtype=bool)
    bits[:, : len(thresholds) + 1] = np.arange(len(thresholds) + 1) <= distinct[:, None] // 2
    if missing != MISSING_IS_ZERO:
        bits[:, -1] = distinct % 2
    return codes, sets.add(_packed(bits))[which]


def _category_sets(
    trees: Sequence[TextTree],
    joined: _Joined,
    nodes: np.ndarray,
    place: int,
    kept: tuple[int, ...] | None,
    sets: _Sets,
) -> tuple[CategoryCodes, np.ndarray]:
    """The codes of a column of categories, and where the sets of its nodes begin."""
    named: list[np.ndarray] = []
    places: dict[bytes, int] = {}
    which = np.empty(len(nodes), dtype=np.int64)
    for position, node in enumerate(nodes):
        tree, number = trees[joined.trees[node]], int(joined.thresholds[node])
        words = tree.words[tree.bounds[number] : tree.bounds[number + 1]]
        key = words.tobytes()
        if key not in places:
            places[key] = len(named)
            named.append(categories_in(words))
        which[position] = places[key]
    lengths = np.array([len(item) for item in named])
    categories = np.concatenate(named)
    if kept is None:
        rows = np.unique(categories)
        found = np.searchsorted(rows, categories)
    elif (categories == len(kept)).any():
        # Rows that are not kept may go left, so all that are kept have to be told from them.
        rows, found = np.array(kept, dtype=np.int64), categories
    else:
        used, found = np.unique(categories[categories < len(kept)], return_inverse=True)
        rows = np.array(kept, dtype=np.int64)[used]
        found = np.searchsorted(used, categories)
    # Beyond the last category there is none.
    there = categories <= (len(kept) if kept is not None else np.iinfo(np.int64).max)
    if not len(rows):
        rows = np.array([-1])
    codes = CategoryCodes(place, rows)
    packed = np.zeros((len(named), -(-codes.codes // WORD)), dtype=np.uint32)
    owners = np.repeat(np.arange(len(named)), lengths)[there]
    found = found[there]
    np.bitwise_or.at(packed, (owners, found // WORD), np.uint32(1) << (found % WORD).astype(np.uint32))
    return codes, sets.add(packed)[which]


def categories_in(words: np.ndarray) -> np.ndarray:
    """The categories of a set, ascending, `[n]` int64."""
    used = np.flatnonzero(words)
    bits = (words[used, None] >> np.arange(WORD, dtype=np.uint32)) & 1
    word, bit = np.nonzero(bits)
    return used[word] * WORD + bit


def rounded_down(thresholds: np.ndarray) -> np.ndarray:
    """The largest float32 numbers that are not above some float64 ones: no float32 number lies between the two."""
    with np.errstate(over="ignore"):
        found = thresholds.astype(np.float32)
        return np.where(found > thresholds, np.nextafter(found, np.float32(-np.inf)), found)


def _packed(bits: np.ndarray) -> np.ndarray:
    """Bits `[S, codes]` as words `[S, W]`."""
    padded = np.pad(bits, ((0, 0), (0, -bits.shape[1] % WORD)))
    return np.packbits(padded, axis=1, bitorder="little").view("<u4").astype(np.uint32)


def _by_level(
    joined: _Joined,
    column: np.ndarray,
    start: np.ndarray,
    all_codes: int,
    words: np.ndarray,
    numbers: tuple[NumberCodes, ...],
    categories: tuple[CategoryCodes, ...],
) -> Splits:
    """Numbers all nodes level by level, so that siblings stand side by side."""
    total = len(joined.columns) + len(joined.values)
    columns, starts = np.zeros(total, np.int64), np.full(total, all_codes, np.int64)
    first, values = np.arange(total), np.zeros(total)
    depths = np.zeros(len(joined.roots), dtype=np.int64)
    level, ids, depth = joined.roots, np.arange(len(joined.roots)), 0
    while True:
        is_inner = level >= 0
        values[ids[~is_inner]] = joined.values[-1 - level[~is_inner]]
        nodes, ids_here = level[is_inner], ids[is_inner]
        if not len(nodes):
            break
        depth += 1
        depths[joined.trees[nodes]] = depth
        next_id = ids[-1] + 1
        columns[ids_here], starts[ids_here] = column[nodes], start[nodes]
        first[ids_here] = next_id + 2 * np.arange(len(nodes))
        level = np.stack((joined.left[nodes], joined.right[nodes]), axis=1).reshape(-1)
        ids = next_id + np.arange(len(level))
    order = np.argsort(-depths, kind="stable")
    return Splits(numbers, categories, columns, starts, first, values, words, order, depths[order])
