"""What stands in for a kill ends all threads, whichever of them comes to the place."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from recnas.train.loop import ModelLearner
from tests.stopping import Stopped, stop_at

STEP = "recnas.train.loop.ModelLearner.step"


def test_a_stop_is_not_missed_while_another_thread_comes_to_the_place_and_no_thread_passes_it_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    inside, goes_on = Event(), Event()

    def step(pauses: bool) -> None:
        if pauses:
            inside.set()
            assert goes_on.wait(60)

    monkeypatch.setattr(STEP, step)
    stop_at(monkeypatch, STEP, 2)
    ModelLearner.step(False)
    with ThreadPoolExecutor(1) as pool:
        second = pool.submit(ModelLearner.step, True)
        assert inside.wait(60)
        with pytest.raises(Stopped):
            ModelLearner.step(False)
        goes_on.set()
        with pytest.raises(Stopped):
            second.result()
