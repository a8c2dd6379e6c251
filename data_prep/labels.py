"""Which values of a label's column are a click: as the user says, or as two plain words do."""

import shlex
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
import polars as pl

from recnas.data_prep.engine import Summary
from recnas.data_prep.label_words import label_words, read_labels
from recnas.features.columns import Read
from recnas.features.schema import Schema
from recnas.util.errors import InputError

_ZERO_AND_ONE = ("0", "1", "false", "true")
_PAIRS = (
    ("no", "yes"), ("n", "y"), ("f", "t"), ("-1", "1"), ("low", "high"), ("negative", "positive"), ("neg", "pos"),
    ("off", "on"), ("bad", "good"), ("impression", "click"), ("view", "click"),
)  # fmt: skip
"""Words of which the second is plainly the click."""
_CLICKS = ["1", *(click for _, click in _PAIRS)]
_NOT = ("not ", "no ", "non ", "non", "un")
# So few rows may be bad ones where the others are 0 and 1, or two plain words.
_ODD_SHARE = 0.1
_SHOWN = 5
# Of more different values, the rarest are told of together, and all that come later are counted so.
_TOLD = 100
_COUNTED = 100_000


@dataclass(frozen=True)
class LabelRule:
    """How a label is read.

    Args:
        positive: The words (`recnas.data_prep.label_words`) that are a click; None: 1 and true.
        negative: Those that are none; None: beside `positive` every other value that is there.
    """

    positive: tuple[str, ...] | None = None
    negative: tuple[str, ...] | None = None

    @property
    def wanted(self) -> str:
        """What a value should be, for messages."""
        if self.positive is None:
            return "0 or 1"
        return "a label" if self.negative is None else " or ".join((*self.negative, *self.positive))

    def __str__(self) -> str:
        if self.positive is None:
            return "only 0 and 1"
        others = "every other value" if self.negative is None else " or ".join(self.negative)
        return f"{' or '.join(self.positive)} is a click, {others} is none"


class Labels(Summary):
    """Reads a label's column and counts which values were taken for no click, where that was left open.

    Args:
        rule: How it is read.
    """

    def __init__(self, rule: LabelRule) -> None:
        self.rule = rule
        self._others: Counter[str] = Counter()
        self._has_clicks = False
        self._lock = Lock()

    def read(self, column: pl.Series) -> Read:
        """Int8, 0 or 1, and which rows are neither."""
        return read_labels(column, self.rule.positive, self.rule.negative)

    def count(self, column: pl.Series) -> None:
        """Takes in the labels of rows that are good; any thread may call it."""
        if self.rule.positive is None or self.rule.negative is not None:
            return
        words = label_words(column)
        counted = words.filter(~words.is_in(list(self.rule.positive))).alias("word").value_counts()
        with self._lock:
            self._has_clicks |= counted["count"].sum() < len(words)
            for word, count in counted.iter_rows():
                known = word in self._others or len(self._others) < _COUNTED
                self._others[word if known else _MORE] += count

    def check(self) -> None:
        """Raises InputError if no row that was read is a click, of values that were named: a slip of the pen."""
        rule = self.rule
        if rule.positive is not None and rule.negative is None and self._others and not self._has_clicks:
            clicks = " or ".join(map(shlex.quote, rule.positive))
            raise InputError(
                f"no row's label is {clicks}, which is to be the click; there are {_shown(_sorted(self._others))}"
            )

    def to_json(self) -> dict[str, Any]:
        """`negatives`: rows of each value that was taken for no click, the most frequent first."""
        counts = list(_sorted(self._others).items())
        told, rare = dict(counts[:_TOLD]), sum(count for _, count in counts[_TOLD:])
        if rare:
            told[_MORE] = told.get(_MORE, 0) + rare
        return {_NEGATIVES: told} if told else {}

    def add(self, chunk: pl.DataFrame, places: np.ndarray) -> None:
        """Nothing of the rows' splits is of interest."""


_MORE = "other values"
_NEGATIVES = "negatives"


def label_rule(name: str, column: pl.Series, positive: Sequence[str] | None, skips: bool) -> LabelRule:
    """How the label of a table is read.

    Without `positive`, 0 and 1 (false and true) are, and two values of which one is plainly the click. A few rows with
    other values are left to be bad rows; a rating or a count is refused.

    Args:
        name: The column's.
        column: A sample of its values.
        positive: The values that are a click, as the user gave them.
        skips: Whether the user has bad rows set aside.

    Raises:
        InputError: It cannot be told which values are a click; the message shows them.
    """
    if positive is not None:
        return _rule_of(positive)
    counts = _counts(column)
    num_rows = sum(counts.values())
    if all(word in _ZERO_AND_ONE for word in counts):
        return LabelRule()
    if pair := _plain_pair(counts):
        return LabelRule((pair[1],), (pair[0],))
    odd = {word: count for word, count in counts.items() if word not in _ZERO_AND_ONE}
    num_odd = sum(odd.values())
    numbers = all(map(_is_number, odd))
    few = num_odd <= _ODD_SHARE * num_rows and (len(odd) < 2 or not numbers)
    if few or (skips and num_odd < num_rows) or (len(counts) == 1 and numbers):
        return LabelRule()
    raise InputError(f"--label {name}: {_refusal(counts)}")


def plain_rule(column: pl.Series, positive: Sequence[str] | None) -> LabelRule | None:
    """How a column that nobody named is read as the label; None: some values are missing or cannot be."""
    counts = _counts(column)
    if not counts or sum(counts.values()) < len(column):
        return None
    if positive is not None:
        rule = _rule_of(positive)
        return rule if any(word in (rule.positive or ()) for word in counts) else None
    if all(word in _ZERO_AND_ONE for word in counts):
        return LabelRule()
    pair = _plain_pair(counts)
    return LabelRule((pair[1],), (pair[0],)) if pair and all(word in pair for word in counts) else None


def rule_like(schema: Schema, column: pl.Series) -> LabelRule:
    """How the label of a log is read that is prepared like another, by the other's schema.

    Where the other had two plain words, a third value is a bad row; where every value but a click was none, it is none.
    """
    if schema.positive is not None and _NEGATIVES not in schema.source:
        words = list(_counts(column))
        for no_click, click in (*_PAIRS, *_denials(words)):
            if schema.positive == (click,) and no_click in words:
                return LabelRule((click,), (no_click,))
    return LabelRule(schema.positive)


def _rule_of(positive: Sequence[str]) -> LabelRule:
    words = label_words(pl.Series(list(positive), dtype=pl.String))
    if not len(words):
        raise InputError("--positive is empty; give the label's values that are a click")
    for text, word in zip(positive, words, strict=True):
        if word is None:
            raise InputError(f"--positive {text!r}: stands for a missing label, which is no click")
    return LabelRule(tuple(dict.fromkeys(words)))


def _counts(column: pl.Series) -> dict[str, int]:
    """Each different word of a label, the most frequent first, and its rows."""
    counted = label_words(column).drop_nulls().alias("word").value_counts()
    return _sorted(dict(counted.iter_rows()))


def _sorted(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _plain_pair(counts: Mapping[str, int]) -> tuple[str, str] | None:
    """No click and click, if all words but of a few rows are one or both of a plain pair."""
    enough = (1 - _ODD_SHARE) * sum(counts.values())
    for pair in (*_PAIRS, *_denials(list(counts)[:3])):
        there = [word for word in pair if word in counts]
        if sum(counts[word] for word in there) < enough or not there:
            continue
        # A click alone does not say what is none, if there are several words for that.
        certain = len(there) == 2 or there[0] == pair[0] or _CLICKS.count(pair[1]) == 1
        # Of numbers each is a value of its own, be it ever so rare.
        if certain and not any(_is_number(word) for word in counts if word not in pair):
            return pair
    return None


def _denials(words: Collection[str]) -> list[tuple[str, str]]:
    """Pairs such as `not clicked` and `clicked`, `non-click` and `click`."""
    spaced = {word: word.replace("_", " ").replace("-", " ") for word in words}
    clicks = {text: word for word, text in spaced.items()}
    return [
        (word, clicks[click])
        for word, text in spaced.items()
        for no in _NOT
        if text.startswith(no) and (click := text.removeprefix(no)) in clicks
    ]


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def refusal(column: pl.Series) -> str:
    """What is in a column that cannot be read as a label, and what to pass."""
    return _refusal(_counts(column))


def _refusal(counts: Mapping[str, int]) -> str:
    shown = _shown(counts)
    if len(counts) == 2:
        either = " or ".join(f"--positive {shlex.quote(word)}" for word in counts)
        return f"holds {shown}, and neither is plainly the click; give {either}"
    return (
        f"holds {shown}, where 0 and 1 are expected; give the values that are a click, --positive VALUE "
        "[VALUE …]; all others are none then"
    )


def _shown(counts: Mapping[str, int]) -> str:
    shown = ", ".join(f"{word[:20]} ({count:,} rows)" for word, count in list(counts.items())[:_SHOWN])
    return f"{shown} and {len(counts) - _SHOWN:,} more values" if len(counts) > _SHOWN else shown
