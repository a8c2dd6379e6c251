"""How long a whole run will go on."""

import pytest

from recnas.runs.outlook import Outlook
from recnas.runs.plan import Plan, PlannedStage
from recnas.runs.settings import Settings
from recnas.search.stages import plan_search

ROWS = {"train": 1000, "validation": 100, "test": 300}


def test_before_anything_was_trained_nothing_is_claimed_but_of_the_last_stage() -> None:
    outlook = Outlook(
        Plan(
            (
                PlannedStage("search", 10, "candidates", trains=False),
                PlannedStage("final training", 500, "rows"),
                PlannedStage("test", 2, "models", 50, trains=False),
            )
        )
    )
    outlook.measured("search", 5.0)
    assert outlook.left("search", 1.0) is None
    assert outlook.left("test", 7.0) == 7.0
    assert outlook.left("writing", 7.0) is None


def test_stages_to_come_take_what_their_rows_take_at_the_rate_of_the_last_training() -> None:
    stages = (
        PlannedStage("warm-up", 200, "rows", 2),
        PlannedStage("search", 10, "candidates", 30),
        PlannedStage("final training", 500, "rows"),
        PlannedStage("test", 2, "models", 50),
    )
    outlook = Outlook(Plan(stages))
    # Two paths a row: 40 rows a second are 80 of one path.
    outlook.measured("warm-up", 40.0)
    assert outlook.left("warm-up", 3.0) == pytest.approx(3 + (300 + 500 + 100) / 80)
    assert outlook.left("search", 1.0) == pytest.approx(1 + (500 + 100) / 80)
    outlook.measured("final training", 10.0)
    assert outlook.left("final training", 2.0) == pytest.approx(2 + 100 / 10)


def test_before_anything_was_trained_a_look_at_gradients_tells_how_fast_rows_go() -> None:
    evolution, final = {"population": 20, "iterations": 0}, {"top_k": 5, "baselines": [], "epochs": 2}
    default = Outlook(plan_search(Settings.from_mapping({"evolution": evolution, "final": final}), ROWS))
    # Ten candidates a second with 128 rows each.
    default.measured("search", 10.0)
    after = 20 * (8192 + 128) + 5 * 2 * 1000 + 5 * 100
    assert default.left("search", 1.0) == pytest.approx(1 + after / 1280)
    # What was trained says more, and is not forgotten for another look.
    default.measured("re-ranking", 1.0)
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
        ("math:floor", None),
    ],
)
def test_only_looks_that_go_forward_and_backward_as_training_does_tell_how_fast_that_is(
    score: str, rows: float | None
) -> None:
    plan = plan_search(Settings.from_mapping({"proxy": {"score": score}}), ROWS)
    outlook = Outlook(plan)
    outlook.measured("search", 10.0)
    later = plan.stages[plan.names.index("search") + 1 :]
    left = None if rows is None else pytest.approx(1 + sum(work.total * work.rows for work in later) / (10 * rows))
    assert outlook.left("search", 1.0) == left
