"""What features say by themselves: the more they decide, the more they gain, and nothing where they decide nothing."""

from __future__ import annotations

import numpy as np

from recnas.data import feature_gains
from tests.data.test_joint_evidence import ROWS, drawn, ids, write


def test_features_are_ranked_by_what_they_say_of_a_click(tmp_path):
    random = np.random.default_rng(0)
    columns = {name: ids(random) for name in ("some", "much", "nothing")}
    columns |= {"number": random.normal(size=ROWS), "same": np.zeros(ROWS, np.uint32)}
    sure, hint = columns["much"] % 2 == 1, columns["some"] % 4 == 0
    clicks = drawn(random, np.where(random.random(ROWS) < 0.8, sure, hint))
    gains = feature_gains(write(tmp_path / "set", columns, clicks))
    assert list(gains)[2:] == ["some", "much"]
    # What is always the same is not told about.
    assert set(list(gains)[:2]) == {"nothing", "number"}
    assert next(iter(gains.values())) == 0
    assert gains["number"] < 1e-3 < 0.003 < gains["some"] < 0.05 < gains["much"]
