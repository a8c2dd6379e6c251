"""The value of an id: one text for all its spellings, and the 32-bit number that stands for it.

Everything that reads ids goes by `id_text`: preparation from whatever format, serving, and the code of an export, into
which what it needs of this module is copied as it stands (`recnas.export.rows_code`).
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from recnas.util.errors import InputError

BLANKS = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
"""What Unicode calls white space; `str.strip` alone would take four control characters, too."""
WHOLE_NUMBER = re.compile(r"(-?)(0|[1-9][0-9]*)(?:\.0*)?")
"""A whole number as text: 5, or 5.0, as pandas writes 5 in a column with gaps; 007 and +7 are words."""
EXPONENT = re.compile(r"-?(?:[1-9][0-9]*(?:\.[0-9]*)?|0\.[0-9]*)[eE][+-]?[0-9]{1,3}")
"""A number with an exponent; 0e12345678 is none, but looks like a hash."""
LIST_PART = re.compile(r"""("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|(,)|([^\[\]{},"']+)""", re.DOTALL)
"""Of a list's text: an item in quotes, a comma, or what is between them."""
LIST_NUMBER = re.compile(r"-?[0-9]+\.?[0-9]*(?:[eE][+-]?[0-9]+)?|None|nan")
"""What blanks alone part, as NumPy writes arrays of numbers."""
LIST_WORDS = dict.fromkeys(("None", "null", "nan", "NaN")) | {"True": "1", "true": "1", "False": "0", "false": "0"}
"""Items without quotes that are no text: missing ones and truth values."""
ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))", re.DOTALL)
ESCAPED = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "/": "/", "\\": "\\", "'": "'", '"': '"'}
_SHORT_NUMBER = re.compile(r"0|-?[1-9][0-9]{0,17}")


def id_text(value: Any) -> str | None:
    """The text that stands for an id, the same for all spellings of a value; None: it is missing.

    Args:
        value: A string, a number, or a missing value: None, NaN, or text of blanks only.

    Returns:
        The digits of a whole number, as a string or not; other text without the blanks at both ends. A number with an
        exponent is the float that it is read as.

    Raises:
        ValueError: A number with a fraction, or an infinite one, which is no id.

    >>> [id_text(value) for value in (5, 5.0, " 5", "5.", "5.00", "2.5e+16", True)]
    ['5', '5', '5', '5', '5', '25000000000000000', '1']
    >>> [id_text(value) for value in ("007", "+7", " a b ", "0.5", "1e400", " ")]
    ['007', '+7', 'a b', '0.5', '1e400', None]
    """
    if isinstance(value, str):
        text = value.strip(BLANKS)
        if whole := WHOLE_NUMBER.fullmatch(text):
            return "0" if whole[2] == "0" else whole[1] + whole[2]
        if EXPONENT.fullmatch(text) and float(text).is_integer():
            return str(int(float(text)))
        return text or None
    if value is None or value != value:
        return None
    try:
        whole_number = int(value)
    except OverflowError:
        raise ValueError from None
    if whole_number != value:
        raise ValueError
    return str(whole_number)


def number_of(text: str) -> float:
    """A number as text, with or without blanks at both ends, as Polars reads it; text of blanks only is NaN.

    Raises:
        ValueError: It is no number.
    """
    text = text.strip(BLANKS)
    # Python would read these, too.
    if "_" in text or not text.isascii() or text != text.strip():
        raise ValueError
    return float(text) if text else math.nan


def number_of_value(value: Any, missing: Collection[str] = (), numbers: Collection[float] = ()) -> float:
    """A raw value as a number; NaN: it is missing.

    Args:
        value: Anything.
        missing: Words that stand for a missing value, beside text of blanks only.
        numbers: `missing_numbers` of them.

    Raises:
        ValueError: It is no number, or an infinite one.
    """
    if value is None or (isinstance(value, str) and value.strip(BLANKS) in missing):
        return math.nan
    try:
        number = number_of(value) if isinstance(value, str) else float(value)
    except (TypeError, OverflowError):
        raise ValueError from None
    if math.isinf(number):
        raise ValueError
    return math.nan if number in numbers else number


def missing_numbers(words: Iterable[str]) -> frozenset[float]:
    """The numbers among words for a missing value."""
    found = set()
    for word in words:
        with suppress(ValueError):
            found.add(number_of(word))
    return frozenset(number for number in found if math.isfinite(number))


def list_items(text: str) -> list[str | None]:
    """The items of a list that is text in brackets, as JSON, Python, pandas, NumPy and Java write it; None: missing.

    Args:
        text: In brackets.

    Raises:
        ValueError: It is no such list, or one of lists, or it was shortened, as `[0 1 ... 9]`.

    >>> list_items("[11, 5]"), list_items("[11. 5.]"), list_items("['a', None]"), list_items("[New York]")
    (['11', '5'], ['11.', '5.'], ['a', None], ['New York'])
    """
    inside, end = text[1:-1], 0
    commas = "," in inside
    # Between two commas, each part: whether it is in quotes, and its items.
    groups: list[list[tuple[bool, list[str | None]]]] = [[]]
    for part in LIST_PART.finditer(inside):
        quoted, comma, bare = part.groups()
        if part.start() != end:
            break
        end = part.end()
        if comma:
            groups.append([])
        elif quoted:
            groups[-1].append((True, [unquoted(quoted)]))
        elif bare := bare.strip(BLANKS):
            words = bare.split()
            if "..." in words:
                raise ValueError
            if commas or not all(map(LIST_NUMBER.fullmatch, words)):
                words = [bare]
            groups[-1].append((False, [LIST_WORDS.get(word, word) for word in words]))
    if end < len(inside):
        raise ValueError
    for group in groups:
        # Blanks alone part texts in quotes, as NumPy writes them, and numbers; they may be in a text.
        if len(group) > 1 and (commas or not all(is_quoted for is_quoted, _ in group)):
            raise ValueError
    return [item for group in groups for _, items in group for item in items]


def unquoted(text: str) -> str:
    """What a text in quotes stands for in JSON or Python."""

    def letter(escape: re.Match[str]) -> str:
        number = escape[1] or escape[2] or escape[3]
        if number is None and escape[4] not in ESCAPED:
            raise ValueError
        return ESCAPED[escape[4]] if number is None else chr(int(number, 16))

    # JSON writes letters beyond 16 bits as two halves.
    return ESCAPE.sub(letter, text[1:-1]).encode("utf-16", "surrogatepass").decode("utf-16")


def items_of(value: Any, separator: str | None) -> Sequence[Any]:
    """The items of a list, or of a text that holds several; what is neither is the only one.

    Args:
        value: Anything.
        separator: Between two items of a text that is not in brackets (see `list_items`); None: a text is one item.

    Raises:
        ValueError: A text in brackets is no list that can be read.

    >>> items_of("a|b", "|"), items_of("[11, 5]", "|"), items_of(7, "|")
    (['a', 'b'], ['11', '5'], [7])
    """
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, str) and separator is not None:
        text = value.strip(BLANKS)
        return list_items(text) if text.startswith("[") and text.endswith("]") else value.split(separator)
    return value if isinstance(value, list | tuple) else [value]


def hash_string(text: str) -> int:
    """A 32-bit hash of a string, 0 … 2³² - 1, the same on every machine and in every process.

    It makes the raw value of a string that is no whole number; see `raw_value`.

    >>> hash_string("Alien (1979)")
    3009526956
    """
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "little")


def mixed(numbers: np.ndarray) -> np.ndarray:
    """Numbers with all their bits mixed: SplitMix64's last step (Steele, Lea and Flood 2014), one to one.

    Args:
        numbers: uint64 of any shape.

    Returns:
        uint64, same shape.

    >>> mixed(np.array([0, 1], dtype=np.uint64))
    array([                  0, 6238072747940578789], dtype=uint64)
    """
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))


def joint_value(rows: Iterable[int]) -> int:
    """The 32-bit number that stands for a joint id: a hash of its parts' table rows, in their order.

    From a state of 0, each row is XORed into it, and the state is `mixed`; the upper half of the last one counts.

    >>> joint_value([3, 7])
    2018863185
    """
    state = 0
    for row in rows:
        state ^= row
        state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        state = (state ^ (state >> 27)) * 0x94D049BB133111EB % 2**64
        state ^= state >> 31
    return state >> 32


def joint_values(rows: Sequence[np.ndarray]) -> np.ndarray:
    """`joint_value` of each of N examples.

    Args:
        rows: For each part its table rows, `[N]` of any integers.

    Returns:
        `[N]` uint32.
    """
    state = np.zeros(len(rows[0]), dtype=np.uint64)
    for part in rows:
        state = mixed(state ^ part.astype(np.uint64))
    return (state >> np.uint64(32)).astype(np.uint32)


def hash_integers(numbers: np.ndarray) -> np.ndarray:
    """The raw values of whole numbers: 0 … 2³² - 1 are their own; of others the upper half of `mixed`.

    Args:
        numbers: int64 or uint64 of any shape; a negative number counts as its two's complement.

    Returns:
        uint32, same shape.

    >>> hash_integers(np.array([7, 2**32 - 1, -1]))
    array([         7, 4294967295, 3033552380], dtype=uint32)
    """
    numbers = numbers.astype(np.uint64)
    upper = np.uint64(32)
    return np.where(numbers >> upper, mixed(numbers) >> upper, numbers).astype(np.uint32)


def hash_text(text: str) -> int:
    """The raw value of what `id_text` gives: `hash_integers` of up to 18 digits, `hash_string` of anything else."""
    # A look at the last letter is faster than the pattern.
    if text[-1] in "0123456789" and _SHORT_NUMBER.fullmatch(text):
        return int(hash_integers(np.array([int(text)]))[0])
    return hash_string(text)


def raw_value(value: str | int | float | None) -> int | None:
    """The raw 32-bit value of a sparse feature without a vocabulary, the same on every machine and in every process.

    All spellings of a value have one: `5`, `5.0`, `"5"`, `" 5"`, `"5."` and `"0.5e1"` are the same; see `id_text`.

    Args:
        value: a string, a whole number, or a missing value: None, NaN or text of blanks only.

    Returns:
        `hash_text` of its `id_text`, None of a missing value.

    Raises:
        InputError: a number with a fraction, which is no id.

    >>> raw_value("5"), raw_value("5.0"), raw_value(5.0), raw_value("Alien (1979)"), raw_value("")
    (5, 5, 5, 3009526956, None)
    """
    text = checked_id_text(value)
    return None if text is None else hash_text(text)


def checked_id_text(value: Any) -> str | None:
    """What `id_text` gives; raises InputError where that raises ValueError."""
    try:
        return id_text(value)
    except ValueError:
        raise InputError(f"{value!r:.40} is not an id: a string or a whole number") from None
