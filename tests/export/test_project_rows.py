"""Raw rows in a project: read by plain code of its own as `Schema.encode` reads them, whatever the schema."""

import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recnas.export.project import READING
from recnas.export.rows_code import example_row
from recnas.features.encoding import column_of
from recnas.features.feature import DenseFeature, SparseFeature, parts_of
from recnas.features.schema import Schema
from recnas.util.errors import InputError
from tests.export.fed_schemas import COUNTS, VALUES, fed_schemas, schemas
from tests.export.test_project import lint
from tests.export.written_rows import assert_read_alike, outcome_of_encode, write_rows, written_rows


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_row_is_read_as_encode_reads_it(tmp_path, data) -> None:
    schema = data.draw(fed_schemas(schemas()))
    module = written_rows(schema, tmp_path)
    assert isinstance(outcome_of_encode(schema, [example_row(schema)]), list)
    columns = sorted({column_of(feature) for feature in (*schema.dense, *parts_of(schema.sparse))})
    one = st.dictionaries(st.sampled_from(columns), VALUES) | st.fixed_dictionaries(dict.fromkeys(columns, VALUES))
    for rows in data.draw(st.lists(st.lists(one, min_size=1, max_size=3), min_size=1, max_size=8)):
        assert_read_alike(schema, module, rows)


def test_the_code_is_as_ruff_would_have_it(tmp_path) -> None:
    folders = (tmp_path / str(number) for number in range(1000))

    @settings(max_examples=150, deadline=None, database=None, derandomize=True)
    @given(fed_schemas(schemas()))
    def write(schema) -> None:
        write_rows(schema, next(folders))

    write()
    lint(tmp_path)


def test_the_code_holds_what_the_schema_needs_and_nothing_else(tmp_path) -> None:
    dense = tuple(DenseFeature(f"I{number}", {"name": "log1p"}) for number in range(1, 14))
    sparse = tuple(SparseFeature(f"C{number}", 100, id_parser={"name": "hexadecimal"}) for number in range(1, 27))
    criteo = code_of(write_rows(Schema("label", dense, sparse, COUNTS), tmp_path / "criteo"))
    assert criteo.count("log1p(numbers(") == 13
    assert len(re.findall('ids\\("C[0-9]+"\\),', criteo)) == criteo.count(": hexadecimal,") == 26
    for word in (
        "flatten",
        "standardized",
        "KNOWN",
        "KEPT",
        "MISSING",
        "hashlib",
        "datetime",
        "bins",
        "joint",
        "called",
    ):
        assert word not in criteo
    genres = SparseFeature("genres", 9, multi_valued=True, vocabulary=("a", "b"), column="class", separator=" ")
    movies = code_of(write_rows(Schema("label", (), (genres,), COUNTS), tmp_path / "movies"))
    assert '"genres": id_text,' in movies
    for word in ("WANTED[", "log1p", "hexadecimal", "raw_value", "math", "numbers(", "NUMBERS", "MISSING"):
        assert word not in movies


def code_of(folder: Path) -> str:
    return "".join((folder / name).read_text() for name in READING)


@pytest.mark.parametrize("version", [1, 2])
def test_an_older_schema_is_refused_as_encode_refuses_it(tmp_path, version) -> None:
    schema = Schema("label", (), (SparseFeature("a", 5),), COUNTS, version=version)
    module = written_rows(schema, tmp_path)
    with pytest.raises(InputError) as refused:
        schema.encode({"a": 1})
    with pytest.raises(ValueError, match=f"version {version}") as written:
        module.batches_of_rows([{"a": 1}], 1)
    assert str(written.value) == str(refused.value)
    lint(tmp_path)
