from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from recnas.train.log import ProgressLog
from recnas.train.loop import Progress


def progress(step: int) -> Progress:
    return Progress(step, 100, rows=8 * step, loss=1 / step, learning_rate=0.1, rows_per_second=50.0)


@given(
    first=st.lists(st.integers(1, 50), unique=True).map(sorted),
    kept=st.integers(0, 50),
    second=st.lists(st.integers(1, 50), unique=True, min_size=1).map(sorted),
    cut=st.integers(0, 30),
    damaged=st.booleans(),
)
def test_a_training_that_goes_on_writes_each_step_down_once(
    tmp_path_factory, first: list[int], kept: int, second: list[int], cut: int, damaged: bool
) -> None:
    path = tmp_path_factory.mktemp("log") / "metrics.jsonl"
    log = ProgressLog(path)
    for step in first:
        log.add(progress(step))
    if first and cut:
        path.write_bytes(path.read_bytes()[:-cut])
    if damaged:
        # As after a power cut: what comes later is written down in its place.
        path.write_bytes(path.read_bytes()[: -cut or None].rpartition(b"\n")[0] + b"\n\0\0\n" + b"1\n")
    again = ProgressLog(path)
    reported = [step for step in second if step > kept] or [kept + 1]
    for step in reported:
        again.add(progress(step))
    steps = [json.loads(line)["step"] for line in path.read_text().splitlines()]
    whole = first[: len(first) - bool(cut)]
    before = [step for step in whole if step < reported[0]]
    assert steps == before + reported
    assert again.rows_before == (8 * before[-1] if before else 0)
