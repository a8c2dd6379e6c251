"""How raw rows are read, as Python: the reader of each number and id, and the helpers that these need."""

from __future__ import annotations

import ast
import inspect
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from recnas.export.features_code import FeaturesCode
from recnas.export.python_text import literal
from recnas.features import raw_values
from recnas.features.encoding import A_LIST, AN_ID, column_of
from recnas.features.feature import DenseFeature, SparseFeature, parts_of
from recnas.features.id_parsers import bounds, wanted
from recnas.features.schema import Schema
from recnas.util.errors import InputError

_COPIED = {
    "id_text": ("BLANKS", "WHOLE_NUMBER", "EXPONENT", "id_text"),
    "numbers": ("BLANKS", "number_of"),
    "missing numbers": ("missing_numbers",),
    "separator": (
        *("BLANKS", "LIST_PART", "LIST_NUMBER", "LIST_WORDS", "ESCAPE", "ESCAPED"),
        *("list_items", "unquoted", "items_of"),
    ),
}
"""By what the code uses, the parts of `recnas.features.raw_values` that it needs."""
SHARED_EXAMPLE = "14102123"
"""For a column that features read differently: a number, hexadecimal digits, whole seconds, an hour as YYMMDDHH."""


@dataclass(frozen=True)
class WrittenParser:
    """A parser of `recnas.features.id_parsers` as a function.

    Args:
        name: The name of the function.
        kind: The form of the values, "hexadecimal", "decimal" or "time".
        wanted: The form that a value should have, for messages.
        least, most: The whole numbers that are allowed, `most` being above them.
        modulus: The number that they are reduced by; None for none.
        form, part: The form of a time, and the part of it that is taken.
    """

    name: str
    kind: str
    wanted: str
    least: int
    most: int
    modulus: int | None
    form: str | None
    part: str | None

    @classmethod
    def of(cls, parser: Mapping[str, Any]) -> WrittenParser:
        kind, modulus = parser["name"], parser.get("modulus")
        form, part = parser.get("form"), parser.get("part")
        if kind == "time":
            name = f"{part}_of_{form.lower()}"
        else:
            name = f"{'signed_' if parser.get('signed') else ''}{kind}{f'_modulo_{modulus}' if modulus else ''}"
        return cls(name, kind, wanted(parser), *bounds(parser), modulus, form, part)


class RowsCode:
    """The reading of raw rows, written out for the numbers and ids that are read.

    Args:
        made: What is made of them.

    Attributes:
        readers: By the names of ids the functions that read them.
        uses: Names of the helpers that the code needs.
        id_parsers: The id parsers that it needs.
        wanted: By the name of a reader of single ids, what a value should be.
        wanted_in_lists: The same of one that reads lists.
    """

    def __init__(self, made: FeaturesCode) -> None:
        self.uses: set[str] = set()
        self.id_parsers: list[WrittenParser] = []
        self.wanted: dict[str, str] = {}
        self.wanted_in_lists: dict[str, str] = {}
        for number in made.numbers.features.values():
            self.uses |= {"numbers"} | ({"missing numbers"} if number.missing else set()) | self._column(number)
        self.readers = {name: self._id(feature) for name, feature in made.ids.features.items()}
        self.id_parsers.sort(key=lambda parser: parser.name)
        self.uses |= made.uses & {"joint"}

    @property
    def modules(self) -> list[str]:
        """The modules of Python's own that the code needs."""
        needed = {
            "datetime": any(parser.form == "YYMMDDHH" for parser in self.id_parsers),
            "hashlib": "raw_value" in self.uses,
            "math": "numbers" in self.uses,
            "re": self.uses & {"id_text", "hexadecimal", "whole", "separator"},
        }
        return [name for name, is_needed in needed.items() if is_needed]

    @property
    def constants(self) -> list[str]:
        """Definitions of `recnas.features.raw_values` that the code needs, as they stand there."""
        return [text for name, text in self._copied.items() if name.isupper()]

    @property
    def functions(self) -> list[str]:
        """Functions of `recnas.features.raw_values` that the code needs, as they stand there."""
        return [text for name, text in self._copied.items() if not name.isupper()]

    @property
    def _copied(self) -> dict[str, str]:
        needed = {name for use in self.uses & _COPIED.keys() for name in _COPIED[use]}
        return {name: text for name, text in _definitions().items() if name in needed}

    def _id(self, feature: SparseFeature) -> str:
        """The name of the function that reads the ids of a feature."""
        self.uses |= {"several"} if feature.multi_valued else {"single"}
        self.uses |= {"missing ids", "id_text"} if feature.missing else set()
        self.uses |= {"separator"} if feature.multi_valued and feature.separator is not None else set()
        self.uses |= self._column(feature)
        listed = [key for key in ("vocabulary", "kept") if getattr(feature, key) is not None]
        if listed:
            self.uses.add("not shared" if feature.shared_id is None else "shared")
        self.uses |= {*listed, "known" if listed else "unlisted"}
        return self._reader(feature)

    def _reader(self, feature: SparseFeature) -> str:
        if feature.id_parser is not None:
            parser = WrittenParser.of(feature.id_parser)
            if parser not in self.id_parsers:
                self.id_parsers.append(parser)
            self.uses.add("whole" if parser.kind != "hexadecimal" else "hexadecimal")
            name, what = parser.name, parser.wanted
        else:
            name = "raw_value" if feature.vocabulary is None else "id_text"
            what = A_LIST if feature.multi_valued else AN_ID
            self.uses |= {name, "id_text"}
        (self.wanted_in_lists if feature.multi_valued else self.wanted)[name] = what
        return name

    def _column(self, feature: DenseFeature | SparseFeature) -> set[str]:
        return set() if feature.column is None else {"column"}


@cache
def _definitions() -> dict[str, str]:
    """What `recnas.features.raw_values` defines, as text, by name; with a constant the text that describes it."""
    source = inspect.getsource(raw_values)
    found: dict[str, str] = {}
    latest = ""
    for node in ast.parse(source).body:
        text = ast.get_source_segment(source, node) or ""
        if isinstance(node, ast.Assign):
            latest = ast.unparse(node.targets[0])
            found[latest] = text
        elif isinstance(node, ast.Expr) and latest:
            found[latest] += f"\n{text}"
        elif isinstance(node, ast.FunctionDef):
            found[node.name], latest = text, ""
    return found


def example_row(schema: Schema) -> dict[str, Any]:
    """A raw row that the schema can read."""
    row: dict[str, Any] = {}
    features = (*schema.dense, *parts_of(schema.sparse))
    for feature in features:
        row.setdefault(column_of(feature), _example(feature))
    try:
        schema.encode(row)
    except InputError:
        readers = Counter(column_of(feature) for feature in features)
        row |= {column: SHARED_EXAMPLE for column, count in readers.items() if count > 1}
    return row


def example_lines(schema: Schema) -> list[str]:
    """The entries of `example_row` as lines of Python, to stand between braces; none if raw rows cannot be read."""
    if schema.unreadable is not None:
        return []
    row = example_row(schema)
    return [f"{literal(column)}: {_literals(value)}," for column, value in row.items()]


def _literals(value: Any) -> str:
    return f"[{', '.join(map(literal, value))}]" if isinstance(value, list) else literal(value)


def _example(feature: DenseFeature | SparseFeature) -> Any:
    if isinstance(feature, DenseFeature):
        mean = float(f"{feature.transform.get('mean', 2):.3g}")
        return int(mean) if mean.is_integer() else mean
    if feature.number is not None:
        return feature.edges[len(feature.edges) // 2] if feature.edges else 2
    if feature.words:
        return list(feature.words[:2]) if feature.multi_valued else feature.words[0]
    kind = (feature.id_parser or {}).get("name")
    values: Sequence[Any] = {"hexadecimal": ("68fd1e64",), "time": (int(SHARED_EXAMPLE),)}.get(kind, (7,))
    if feature.vocabulary is not None:
        values = feature.vocabulary[:2]
    return list(values) if feature.multi_valued else values[0]
