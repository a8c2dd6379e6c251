"""How long a whole run will go on."""

import pytest

from recnas import proxies
from recnas.proxies.expression import UNTRAINED
from recnas.proxies.registry import PROXIES
from recnas.runs.outlook import GRADIENTS, LOOKED_AT, Outlook, Work, outlook_of
from recnas.runs.settings import Settings

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
    # Each look by jacov reads 128 rows, and the short training 8,192 more.
    assert [work.rows for work in default.works.values()] == [128, 8192 + 128, 1, 100]
    assert [work.trains for work in default.works.values()] == [False, True, True, False]
    published = {"proxy": {"score": "sigeo"}, "warmup": {"amount": 0.1, "paths": 2}, "evolution": evolution}
    works = outlook_of(Settings.from_mapping(published), ROWS).works
    assert list(works) == ["warm-up", "search", "final training", "test"]
    assert (works["warm-up"].total, works["warm-up"].rows) == (100, 2)
    alone = outlook_of(Settings.from_mapping({"final": final | {"top_k": 0}}), ROWS).works
    assert {name: work.total for name, work in alone.items()} == {"final training": 2000, "test": 1}


def test_before_anything_was_trained_a_look_at_gradients_tells_how_fast_rows_go() -> None:
    evolution, final = {"population": 20, "iterations": 0}, {"top_k": 5, "baselines": [], "other_learning_rates": []}
    default = outlook_of(Settings.from_mapping({"evolution": evolution, "final": final}), ROWS)
    # Ten candidates a second with 128 rows each.
    default.measured("search", 10.0)
    after = 20 * (8192 + 128) + 5 * 1000 + 5 * 100
    assert default.left("search", 1.0) == pytest.approx(1 + after / 1280)
    # What was trained says more, and is not forgotten for another look.
    default.measured("shortlist", 1.0)
    default.measured("search", 10.0)
    assert default.left("search", 1.0) == pytest.approx(1 + after / (8192 + 128))


@pytest.mark.parametrize(
    ("score", "rows"),
    [
        # 1,024 rows at once cost less than half each of what they do in training.
        ("zico - loss", 2048 * 0.4),
        ("jacov + parameters", 128),
        ("jacov + zico", 2048 * 0.4),
        # What these cost does not tell how fast training is.
        ("parameters", None),
        ("loss", None),
        ("zen", None),
        ("jacov + one_shot", None),
        ("my_module:mine", None),
    ],
)
def test_only_looks_that_go_forward_and_backward_as_training_does_tell_how_fast_that_is(
    score: str, rows: float | None
) -> None:
    outlook = outlook_of(Settings.from_mapping({"proxy": {"score": score}}), ROWS)
    outlook.measured("search", 10.0)
    names = list(outlook.works)
    later = [outlook.works[name] for name in names[names.index("search") + 1 :]]
    left = None if rows is None else pytest.approx(1 + sum(work.total * work.rows for work in later) / (10 * rows))
    assert outlook.left("search", 1.0) == left


def test_what_is_said_here_of_proxies_without_torch_is_so() -> None:
    assert LOOKED_AT == proxies.rows.ROWS
    told = {name for name, proxy in PROXIES.items() if proxy.__module__ == proxies.gradients.__name__}
    assert told - {"loss"} == GRADIENTS
    assert {name for name, proxy in PROXIES.items() if proxy.__module__ == proxies.rows.__name__} == UNTRAINED
