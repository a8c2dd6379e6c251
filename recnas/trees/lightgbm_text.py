"""LightGBM's text format, read without the library: the trees as arrays.

Sizes: I inner nodes and L = I + 1 leaves of a tree.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recnas.trees.library import unreadable

CATEGORICAL, DEFAULT_LEFT = 1, 2
"""Bits of a decision; the two above are how missing values are treated."""
MISSING_IS_ZERO, ZERO_IS_MISSING, NAN_IS_MISSING = 0, 1, 2
WORD = 32
"""Categories in a word of a set."""


@dataclass(frozen=True)
class TextTree:
    """A tree.

    Attributes:
        columns: Of the matrix what each inner node looks at, `[I]`.
        thresholds: Values up to it go left, `[I]` float64; of a split of categories the number of its set.
        decisions: Bits that say how a node decides, `[I]`.
        left: Where values go that do, `[I]`: an inner node, or -1 - j for leaf j.
        right: Where all others go, likewise.
        values: What each leaf adds to the logit, `[L]` float64.
        bounds: Where the words of each set of categories begin, and where those of the last one end.
        words: Sets of categories that go left, 32 a word.
    """

    columns: np.ndarray
    thresholds: np.ndarray
    decisions: np.ndarray
    left: np.ndarray
    right: np.ndarray
    values: np.ndarray
    bounds: np.ndarray
    words: np.ndarray

    @property
    def is_categorical(self) -> np.ndarray:
        """Whether a node splits categories, `[I]`."""
        return (self.decisions & CATEGORICAL) != 0

    @property
    def missing(self) -> np.ndarray:
        """How a node treats missing values, `[I]`."""
        return (self.decisions >> 2) & 3


def read_text(path: Path, columns: int) -> list[TextTree]:
    """The trees of a file that `Booster.save_model` wrote.

    Args:
        path: The file.
        columns: Columns of the matrix that the trees are to take.

    Raises:
        InputError: It is damaged, of another matrix, or of a kind that recnas does not make.
    """
    with path.open(encoding="utf-8") as lines:
        return read_lines(lines, columns, path)


def read_lines(lines: Iterable[str], columns: int, path: Path) -> list[TextTree]:
    """The trees of such lines; `path` is what messages name, other arguments and errors are those of `read_text`."""
    try:
        blocks = _blocks(lines)
        header = next(blocks)
        _check_header(header, columns)
        if not (trees := [_tree(block, columns) for block in blocks]):
            raise ValueError("it has no trees")
        return trees
    except (KeyError, UnicodeDecodeError) as error:
        raise unreadable(path, "LightGBM", f"no {error}") from None
    except (ValueError, StopIteration) as error:
        raise unreadable(path, "LightGBM", error) from None


def _blocks(lines: Iterable[str]) -> Iterator[dict[str, str]]:
    """The header and then each tree, by the names of their lines."""
    block: dict[str, str] = {}
    for line in lines:
        name, _, value = line.rstrip("\n").partition("=")
        if name in ("Tree", "end of trees"):
            yield block
            block = {}
        if name == "end of trees":
            return
        block[name] = value
    raise ValueError("it has no end")


def _check_header(header: Mapping[str, str], columns: int) -> None:
    if (found := int(header["max_feature_idx"]) + 1) != columns:
        raise ValueError(f"it takes {found} columns, not {columns}")
    if header["num_tree_per_iteration"] != "1" or "average_output" in header:
        raise ValueError("its logits are no sums of trees")


def _tree(block: Mapping[str, str], columns: int) -> TextTree:
    leaves = int(block["num_leaves"])
    inner, sets = leaves - 1, int(block["num_cat"])
    if block.get("is_linear", "0") != "0":
        raise ValueError("its leaves are linear models")
    if leaves < 1:
        raise ValueError("a tree without leaves")

    def numbers(name: str, count: int, dtype: type) -> np.ndarray:
        # A tree that is a leaf has no other lines, and one without sets none of these.
        found = np.fromstring(block[name], dtype=dtype, sep=" ") if count else np.empty(0, dtype=dtype)
        if len(found) != count:
            raise ValueError(f"{name} has {len(found)} numbers, not {count}")
        return found

    bounds = numbers("cat_boundaries", sets + 1 if sets else 0, np.int64)
    tree = TextTree(
        numbers("split_feature", inner, np.int64),
        numbers("threshold", inner, np.float64),
        numbers("decision_type", inner, np.int64),
        numbers("left_child", inner, np.int64),
        numbers("right_child", inner, np.int64),
        numbers("leaf_value", leaves, np.float64),
        bounds,
        numbers("cat_threshold", int(bounds[-1]) if sets else 0, np.int64).astype(np.uint32),
    )
    numbers_of_sets = tree.thresholds[tree.is_categorical]
    children = np.sort(np.concatenate((tree.left, tree.right)))
    if (
        ((tree.columns < 0) | (tree.columns >= columns)).any()
        or not np.isin(numbers_of_sets, np.arange(sets)).all()
        or (np.diff(bounds, prepend=0) < 0).any()
        # Each node but the first is the child of one, and so is each leaf.
        or (inner and not np.array_equal(children, np.r_[-leaves:0, 1:inner]))
        or (tree.missing > NAN_IS_MISSING).any()
        or np.isnan(tree.thresholds).any()
    ):
        raise ValueError("a tree that is none")
    return tree
