"""The value of a label: one text for all its spellings, and whether it is a click."""

from collections.abc import Sequence

import polars as pl

from recnas.data_prep.missing_words import OF_NUMBERS
from recnas.features.columns import Read, misfit_mask, plain_column

_ONE, _ZERO = ("1", "true"), ("0", "false")
# A label may well be "none".
_MISSING = ("", *(word for word in OF_NUMBERS if word != "none"))
# Whole numbers of more digits are left as they are written.
_EXACT = 10**18


def read_labels(
    column: pl.Series, positive: Sequence[str] | None = None, negative: Sequence[str] | None = None
) -> Read:
    """Int8, 0 or 1; none may be missing.

    Args:
        column: labels.
        positive: the values that are 1, as `label_words` spells them; None: 1 and true, and 0 and false are 0.
        negative: the values that are 0; None: beside `positive` every other that is there.
    """
    if column.dtype == pl.String and len(distinct := column.unique()) < len(column):
        # Each different text is read once, as they are few.
        read, _ = read_labels(distinct, positive, negative)
        values = column.replace_strict(distinct, read, return_dtype=pl.Int8).alias(column.name)
        return values, misfit_mask(values.is_null())
    if positive is None:
        positive, negative = _ONE, _ZERO
    word = pl.lit(label_words(column))
    clicked = word.is_in(list(positive))
    fits = word.is_not_null() if negative is None else clicked | word.is_in(list(negative))
    values = pl.select(pl.when(fits).then(clicked.cast(pl.Int8)).alias(column.name)).to_series()
    return values, misfit_mask(values.is_null())


def label_words(column: pl.Series) -> pl.Series:
    """The values of a label as text, each in one spelling: small letters, no blanks around it, `1` for 1.00 and +1.

    Null where a value is missing, also as words say it (NULL, NA, nan, \\N …), or of a type that no label has.
    """
    name, kind = column.name, column.dtype
    if not (kind.is_numeric() or kind in (pl.Null, pl.String, pl.Boolean, pl.Categorical, pl.Enum, pl.Object)):
        return pl.Series(name, [None] * len(column), dtype=pl.String)
    column = plain_column(column)
    if column.dtype == pl.Boolean:
        return column.cast(pl.String)
    if column.dtype == pl.String:
        text = column.str.strip_chars()
        text = text.set(text.is_in(_MISSING), None)
        number = text.cast(pl.Float64, strict=False)
        text = text.str.to_lowercase()
    else:
        number = column.cast(pl.Float64).fill_nan(None)
        text = number.cast(pl.String)
    whole = number.is_finite() & (number == number.round()) & (number.abs() < _EXACT)
    digits = number.set(~whole, None).cast(pl.Int64).cast(pl.String)
    others = number.set(~number.is_finite(), None).cast(pl.String)
    return pl.select(pl.coalesce(map(pl.lit, (digits, others, text))).alias(name)).to_series()
