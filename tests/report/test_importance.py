"""What the report says decided."""

from __future__ import annotations

import random
from typing import Any

from recnas.report.importance import LEAST, what_mattered
from recnas.runs.reader import Candidate


def history(count: int, loss: Any) -> list[Candidate]:
    rng = random.Random(0)
    found = []
    for place in range(count):
        rate, hidden = rng.choice((0.001, 0.003, 0.01)), rng.choice(([400], [256, 128]))
        crosses = ["a:b", "c:d"][: rng.randrange(3)]
        whole = {
            "network": {"name": "dnn", "choices": {"hidden": hidden}},
            "recipe": {"epochs": 5, "seed": place, "optimization": {"learning_rate": rate}},
            "inputs": {"crosses": crosses},
        }
        score = -loss(rate, len(crosses))
        found.append(Candidate("dnn", 0, score, {}, None, candidate=f"dnn-{place}", ended=True, whole=whole))
    return found


def test_what_decides_comes_first_and_what_is_always_the_same_not_at_all() -> None:
    told = what_mattered(history(60, lambda rate, crosses: 0.5 + 2 * rate - 0.004 * crosses))
    assert told is not None
    assert told.candidates == 60
    assert told.explained > 0.5
    assert {item.choice for item in told.choices[:2]} == {"learning rate", "number of joint ids"}
    assert {item.choice: item.best for item in told.choices}["number of joint ids"] == "2"
    assert not {"epochs", "network", "seed"} & {item.choice for item in told.choices}
    assert 0.9 < sum(item.share for item in told.choices) <= 1 + 1e-9


def test_nothing_is_said_of_few_candidates_or_of_chance() -> None:
    assert what_mattered(history(LEAST - 1, lambda rate, crosses: rate)) is None
    assert what_mattered(history(40, lambda rate, crosses: 0.5)) is None
    rng = random.Random(1)
    assert what_mattered(history(60, lambda rate, crosses: rng.random())) is None
