"""Whether a data set fits a model: what must be equal."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from recnas.export.fit import check_fits
from recnas.features.feature import SparseFeature
from recnas.features.schema import SPLITS, Schema
from recnas.util.errors import InputError

SCHEMA = Schema("y", (), (SparseFeature("user", 9),), {name: {"rows": 10, "positives": 4} for name in SPLITS})


def check(mine: Schema, other: Schema) -> None:
    check_fits(mine, SimpleNamespace(own_schema=other, path=Path("data")), Path("model"))


def test_ids_made_by_different_rules_do_not_fit_each_other() -> None:
    old = replace(SCHEMA, version=2)
    for mine, other in ((old, SCHEMA), (SCHEMA, old)):
        with pytest.raises(InputError, match=r"data: .*different rules for the ids of user; prepare the older's"):
            check(mine, other)
    for schema in (SCHEMA, old):
        check(schema, schema)
    check(old, replace(SCHEMA, version=1))


def test_ids_with_readings_of_their_own_fit_whatever_the_versions() -> None:
    published = replace(SCHEMA, sparse=(SparseFeature("user", 9, id_parser={"name": "hexadecimal"}),))
    check(replace(published, version=2), published)
