from __future__ import annotations

import fcntl
import io
import os
import re
import select
import struct
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recnas.runs.outlook import Outlook
from recnas.runs.plan import Plan, PlannedStage
from recnas.util import console
from recnas.util.console import BYTES, Console, clock, size, speed


class Clock:
    """A time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@contextmanager
def watched() -> Iterator[tuple[Clock, Callable[[], str]]]:
    """A clock, and what is written to standard error, which is no terminal."""
    time, stream = Clock(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stderr(stream):
        patch.setattr(console, "time", time)
        yield time, stream.getvalue


@given(st.lists(st.floats(0.01, 400), min_size=1, max_size=300))
def test_a_log_file_gets_whole_lines_neither_too_many_nor_too_few(gaps: list[float]) -> None:
    said = []
    with watched() as (time, written), Console(True).bar(len(gaps), "search", "candidates") as bar:
        for gap in gaps:
            time.now += gap
            before = written()
            bar.update()
            if written() != before:
                said.append(time.now - 1000)
        in_between = written()
    lines = in_between.splitlines()
    assert "\r" not in in_between
    assert len(lines) == len(said)
    # An update comes at most 400 s after the one before, and is what a line can be written at.
    for earlier, later in zip([0.0, *said], [*said, sum(gaps)], strict=True):
        assert later - earlier <= 700
    for earlier, later in pairwise(said):
        assert later - earlier >= 10 - 1e-6
    assert len(lines) <= 12 + sum(gaps) / 300


def test_a_line_tells_how_much_how_fast_and_how_long() -> None:
    with watched() as (time, written):
        with Console(True, ["warm-up", "search"]).bar(80_000, "warm-up", "rows") as bar:
            for _ in range(60):
                time.now += 0.5
                bar.update(1000, "loss 0.6100")
        first, *_, last = written().splitlines()
    assert first == "1/2 warm-up 12 % · 10,000 of 80,000 rows · 2,000 rows/s · loss 0.6100 · 0:35 left"
    assert last == "1/2 warm-up 75 % · 60,000 of 80,000 rows · 2,000 rows/s · loss 0.6100 · took 0:30"


def test_a_line_tells_how_long_the_whole_run_is_as_soon_as_that_is_known() -> None:
    """A stage of 100 s is one of a run of which 500 s follow at its rate."""
    plan = Plan(
        (
            PlannedStage("search", 10, "rows", trains=False),
            PlannedStage("training", 100, "rows"),
            PlannedStage("test", 50, "rows"),
        )
    )
    console = Console(True, plan.names)
    console.outlook = Outlook(plan)
    with watched() as (time, written):
        for stage, total in (("search", 10), ("training", 100), ("test", 50)):
            with console.bar(total, stage, "rows") as bar:
                for _ in range(2):
                    time.now += 50.0
                    bar.update(total / 2)
    lines = [line for line in written().splitlines() if " left" in line]
    assert lines[0].endswith("0:50 left · whole run: not known yet")
    # Of 100 rows 50 are left, at one a second; then come the test's 50.
    assert "2/3 training 50 % · 50 of 100 rows · 1.0 rows/s · 0:50 left · whole run about 1:40 left" in lines
    assert "whole run" not in next(line for line in lines if line.startswith("3/3 test"))


def test_the_whole_run_is_guessed_from_the_rate_of_the_work_itself_where_that_is_told() -> None:
    """The first candidate is there after 50 s, most of them the workers' start: each takes one."""
    search = PlannedStage("search", 10, "candidates", rows=128, trains=False, gradient_cost=1)
    plan = Plan((search, PlannedStage("training", 128 * 30, "rows")))
    console = Console(True, plan.names)
    console.outlook = Outlook(plan)
    with watched() as (time, written):
        with console.bar(10, "search", "candidates") as bar:
            time.now += 50.0
            bar.went(1.0)
            bar.update()
        assert console.outlook.left("search", 0.0) == 30
    # Nine candidates at the clock's rate, then 30 times as many rows as one of them.
    assert "7:30 left · whole run about 8:00 left" in written()


def test_work_of_an_earlier_process_does_not_make_this_one_look_fast() -> None:
    with watched() as (time, written), Console(True).bar(1000, "search", "candidates") as bar:
        bar.skip(900)
        for _ in range(5):
            time.now += 1
            bar.update()
        assert written() == "search 90 % · 905 of 1,000 candidates · 1.0 candidates/s · 1:35 left\n"


def test_work_that_is_given_up_is_not_said_to_be_done() -> None:
    with watched() as (_, written):
        with suppress(KeyboardInterrupt), Console(True).bar(10, "search", "candidates") as bar:
            bar.update()
            raise KeyboardInterrupt
        assert written() == ""


def test_nothing_is_shown_that_is_not_wanted_or_not_there() -> None:
    with watched() as (_, written):
        for shown in (Console(False), Console(False, ["search"])):
            shown.say("line")
            with shown.bar(1, "search", "candidates") as bar:
                bar.update()
        with Console(True).bar(0, "warm-up", "rows"):
            pass
        assert written() == ""


@pytest.mark.parametrize("columns", [100, 0])
def test_a_terminal_gets_a_bar_and_one_without_width_gets_lines(columns: int) -> None:
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24 if columns else 0, columns, 0, 0))
    with open(theirs, "w") as terminal, redirect_stderr(terminal):
        shown = Console(True, ["warm-up", "search"])
        with shown.bar(100, "search", "candidates") as bar:
            bar.skip(40)
            bar.update(60, "best score 312.45")
            shown.say("a line above it")
        written = ""
        while select.select([ours], [], [], 0.2)[0]:
            written += os.read(ours, 100_000).decode()
    os.close(ours)
    assert "a line above it\r\n" in written
    if columns:
        assert re.search(r"\r2/2 search: 100%\|.*\| 100/100 \[.*candidates/s, best score 312\.45\]", written)
    else:
        assert "2/2 search 100 % · 100 of 100 candidates · " in written


@pytest.mark.parametrize(
    ("shown", "wanted"),
    [
        (clock(9.4), "0:09"),
        (clock(59.6), "1:00"),
        (clock(11_100), "3:05:00"),
        (size(999), "999 B"),
        (size(999.9), "1.0 kB"),
        (size(3_440_000), "3.4 MB"),
        (size(264e9), "264 GB"),
        (size(5e15), "5000 TB"),
        (speed(5210.33, "rows"), "5,210 rows/s"),
        (speed(15, "candidates"), "15.0 candidates/s"),
        (speed(1 / 42, "models"), "42 s a model"),
        (speed(85e6, BYTES), "85.0 MB/s"),
    ],
)
def test_numbers_are_short(shown: str, wanted: str) -> None:
    assert shown == wanted
