"""A table of trained candidates, asked."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import recnas.bench
from recnas.bench.table import Table
from recnas.util.errors import InputError
from tests.bench.tables import made_up, save, space_of


@pytest.fixture(scope="module")
def table() -> Table:
    return made_up(5, space_of())


def test_a_training_is_measured_at_the_next_fidelity_that_was_recorded(table: Table) -> None:
    candidate = next(iter(table))
    line = table.frame.iloc[0]
    asked = table.query(candidate, 0.11, seed=0)
    assert asked.fidelity == pytest.approx(0.2)
    assert asked.rows == 1000
    assert asked.validation.log_loss == pytest.approx(line["stop_validation_log_loss"][2])
    assert not asked.finished
    whole = table.query(candidate.id)
    assert whole.finished
    assert whole.test.log_loss == line["test_log_loss"]


def test_a_training_that_lost_patience_is_at_its_end_from_there_on(table: Table) -> None:
    cut = table.to_pandas()
    for name in [column for column in cut.columns if column.startswith("stop_")]:
        cut[name] = [values[:5] for values in cut[name]]
    asked = Table(cut, table.about).query(cut["id"][0], 0.7)
    assert asked.finished
    assert asked.fidelity == pytest.approx(0.4)
    assert asked.validation.log_loss == cut["validation_log_loss"][0]


def test_one_that_diverged_has_no_figures(table: Table) -> None:
    broken = table.to_pandas()
    broken["diverged"] = ["the loss is nan", *broken["diverged"][1:]]
    for name in [column for column in broken.columns if column.startswith("stop_")]:
        broken[name] = [values[:3] for values in broken[name]]
    asked = Table(broken, table.about)
    assert asked.query(broken["id"][0], 1.0).diverged
    assert asked.query(broken["id"][0], 1.0).validation is None
    # Before that it was like any other.
    assert asked.query(broken["id"][0], 0.2).validation is not None


def test_each_candidate_is_there_once_and_knows_its_seeds(table: Table) -> None:
    assert len(table) == len(list(table)) == 5
    for candidate in table:
        assert candidate in table
        assert table.seeds(candidate) == (0, 1)
        assert candidate in table.space.joint


@pytest.mark.parametrize(
    ("asked", "said"),
    [({"fidelity": 0.0}, "above 0"), ({"fidelity": 1.5}, "above 0"), ({"seed": 7}, "seeds 0, 1, not with 7")],
)
def test_what_was_not_trained_is_told_in_one_line(table: Table, asked: dict[str, float], said: str) -> None:
    with pytest.raises(InputError, match=said):
        table.query(next(iter(table)), **asked)
    with pytest.raises(InputError, match="not in the table"):
        table.query("nobody-00000000")


def test_a_file_that_is_no_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no table is named"):
        recnas.bench.load("nowhere")
    made_up(1, space_of()).frame[["id"]].to_parquet(tmp_path / "other.parquet")
    with pytest.raises(InputError, match="no table of trained candidates"):
        recnas.bench.load(tmp_path / "other.parquet")
    (tmp_path / "broken.parquet").write_text("nothing")
    with pytest.raises(InputError, match="cannot be read as a table"):
        recnas.bench.load(tmp_path / "broken.parquet")


def test_a_table_from_elsewhere_runs_no_code(tmp_path: Path) -> None:
    foreign = made_up(1, space_of())
    foreign.about["space"]["space"] = "this:nothing"
    save(foreign, tmp_path / "foreign.parquet")
    table = recnas.bench.load(tmp_path / "foreign.parquet")
    with pytest.raises(InputError, match="is code of the module this; import it before"):
        _ = table.space.joint
    assert "this" not in sys.modules
    del foreign.about["rows"]
    save(foreign, tmp_path / "damaged.parquet")
    with pytest.raises(InputError, match="what it says of itself is damaged"):
        recnas.bench.load(tmp_path / "damaged.parquet")
