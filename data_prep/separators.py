"""What parts the columns of delimited text: as the user says, or as its first lines suggest."""

from collections.abc import Sequence

from recnas.util.errors import InputError

LINES_OF_GUESS = 100
"""How many lines after the header are looked at."""
# So many of the first lines must have the header's number of fields for a separator to be likely at all.
_LIKELY_SHARE = 0.9
_NAMES = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|", "space": " "}


def separator_of(text: str) -> str:
    """The letter that a `--separator` stands for.

    Raises:
        InputError: It is not one ASCII letter, or one that cannot part columns.

    >>> separator_of("tab") == separator_of(r"\\t") == "\\t"
    True
    """
    letter = _NAMES.get(text.lower(), text)
    if len(letter) != 1 or not letter.isascii() or letter in '"\r\n\0':
        raise InputError(f"--separator {text!r}: it must be one ASCII letter, such as ';', or {', '.join(_NAMES)}")
    return letter


def guessed_separator(header: str, lines: Sequence[str], letters: str, quotes: bool) -> tuple[str, str | None]:
    """Which of some letters parts the columns, and what else it could be.

    It is the one by which the most of the first lines have as many fields as the header, by which most are several.

    Args:
        header: The first line.
        lines: Some lines after it.
        letters: What may part columns, the likeliest first.
        quotes: Whether what is in double quotes is no separator.

    Returns:
        The separator, and a sentence on others that would do as well, or on lines that it does not part; None: it is
        plain.

    >>> guessed_separator('"price, EUR";click', ["1,5;0"], ",;", True)
    (';', None)
    """
    fields = {letter: _num_fields(header, letter, quotes) for letter in letters}
    shares = {letter: 1.0 for letter, count in fields.items() if count > 1}
    if not shares:
        return letters[0], None
    lines = [line for line in lines if line]
    if lines:
        for letter in shares:
            shares[letter] = sum(_num_fields(line, letter, quotes) == fields[letter] for line in lines) / len(lines)
    best = max(shares, key=lambda letter: (shares[letter], fields[letter]))
    rivals = [letter for letter in shares if letter != best and shares[letter] >= min(shares[best], _LIKELY_SHARE)]
    if not rivals:
        return best, None
    what = f"columns are parted by {_shown(best)} ({fields[best]} columns)"
    others = ", ".join(f"{_shown(letter)} ({fields[letter]})" for letter in rivals)
    return best, f"{what}, though they could be by {others}; --separator says which"


def _num_fields(line: str, letter: str, quotes: bool) -> int:
    outside = line.split('"')[::2] if quotes else [line]
    return 1 + sum(text.count(letter) for text in outside)


def _shown(letter: str) -> str:
    return "a tab" if letter == "\t" else repr(letter)
