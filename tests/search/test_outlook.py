"""How long a whole run will go on."""

import pytest

from recnas.search.outlook import Outlook, Work, outlook_of
from recnas.search.settings import Settings

ROWS = {"train": 1000, "validation": 100, "test": 300}


def test_before_anything_was_trained_nothing_is_claimed_but_of_the_last_stage() -> None:
    outlook = Outlook(
        {"search": Work(10, trains=False), "final training": Work(500), "test": Work(2, 50, trains=False)}
    )
    outlook.measured("search", 5.0)
    assert outlook.left("search", 1.0) is None
    assert outlook.left("test", 7.0) == 7.0
    assert outlook.left("writing", 7.0) is None


def test_stages_to_come_take_what_their_rows_take_at_the_rate_of_the_last_training() -> None:
    works = {"warm-up": Work(200, 2), "search": Work(10, 30), "final training": Work(500), "test": Work(2, 50)}
    outlook = Outlook(works)
    # Two paths a row: 40 rows a second are 80 of one path.
    outlook.measured("warm-up", 40.0)
    assert outlook.left("warm-up", 3.0) == pytest.approx(3 + (300 + 500 + 100) / 80)
    assert outlook.left("search", 1.0) == pytest.approx(1 + (500 + 100) / 80)
    outlook.measured("final training", 10.0)
    assert outlook.left("final training", 2.0) == pytest.approx(2 + 100 / 10)


def test_a_run_s_stages_have_the_rows_that_its_settings_say() -> None:
    evolution = {"population": 20, "iterations": 0}
    final = {"top_k": 5, "epochs": 2, "baselines": ["dlrm"], "other_learning_rates": []}
    default = outlook_of(Settings.from_mapping({"evolution": evolution, "final": final}), ROWS)
    assert {name: work.total for name, work in default.works.items()} == {
        "search": 20,
        "shortlist": 20,
        "final training": 6 * 2 * 1000,
        "test": 6,
    }
    # Each look at gradients reads four batches of 512 rows, and the short training 8,192 more.
    assert [work.rows for work in default.works.values()] == [2048, 8192 + 2048, 1, 100]
    assert [work.trains for work in default.works.values()] == [False, True, True, False]
    published = {"proxy": {"score": "sigeo"}, "warmup": {"amount": 0.1, "paths": 2}, "evolution": evolution}
    works = outlook_of(Settings.from_mapping(published), ROWS).works
    assert list(works) == ["warm-up", "search", "final training", "test"]
    assert (works["warm-up"].total, works["warm-up"].rows) == (100, 2)
    alone = outlook_of(Settings.from_mapping({"final": final | {"top_k": 0}}), ROWS).works
    assert {name: work.total for name, work in alone.items()} == {"final training": 2000, "test": 1}
