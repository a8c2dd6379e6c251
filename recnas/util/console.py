"""Progress as a person sees it: bars in a terminal, plain lines now and then where there is none."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from tqdm import tqdm

from recnas.util.printable import one_line

FIRST_LINE = 5.0
"""Seconds until the first plain line."""
LEAST_GAP, LARGEST_GAP = 10.0, 300.0
"""Seconds between two plain lines; between these bounds there is one for every tenth of the work."""
BYTES = "B"
"""The unit of a bar that counts bytes."""


class Outlook(Protocol):
    """A guess at how long all stages together will take."""

    def measured(self, stage: str, rate: float) -> None:
        """So much of a stage was done a second."""

    def left(self, stage: str, seconds: float) -> float | None:
        """Seconds left of all, from those left of a stage; None when nothing is known."""


class Console:
    """Lines and progress on standard error; silent when not wanted.

    Args:
        wanted: Whether to show anything.
        stages: The names of bars that follow one another: each is shown with its number, as in `2/4 search`.

    Attributes:
        stages: As given; whoever does not know them yet sets them before the first bar.
        outlook: If set, bars of the stages also show how long all of them together will go on.

    Example:
        >>> console = Console(True, ["warm-up", "search"])
        >>> with console.bar(2048, "search", "candidates") as bar:
        ...     bar.update(note="best score 312.45")
    """

    def __init__(self, wanted: bool, stages: Sequence[str] = ()) -> None:
        self.wanted, self.stages = wanted, stages
        self.outlook: Outlook | None = None

    def say(self, line: str) -> None:
        """Prints one line, above any bar."""
        line = one_line(line)
        if self.wanted and _is_terminal():
            tqdm.write(line, file=sys.stderr)
        elif self.wanted:
            print(line, file=sys.stderr, flush=True)

    @contextmanager
    def bar(self, total: float, what: str, unit: str) -> Iterator[Bar]:
        """Shows how a piece of work comes along: how much is done, how fast, and the time left.

        Args:
            total: The amount of work; nothing is shown when it is 0.
            what: The name of the work.
            unit: The unit of the work, in the plural, such as `candidates`; or `BYTES`.
        """
        stage = what
        if what in self.stages:
            what = f"{self.stages.index(what) + 1}/{len(self.stages)} {what}"
        shown = self.wanted and total > 0
        kind = Bar if not shown else TerminalBar if _is_terminal() else LineBar
        bar = kind(total, one_line(what), unit)
        if self.outlook is not None and stage in self.stages[:-1]:
            # Of the last stage its own time says all.
            bar.foresee(stage, self.outlook)
        try:
            yield bar
            bar.finish()
        finally:
            bar.close()


class Bar:
    """Counts work and shows nothing.

    Args:
        total: The amount of work.
        what: The name of the work.
        unit: The unit of the work.

    Attributes:
        done: The amount that is done.
    """

    def __init__(self, total: float = 0, what: str = "", unit: str = "") -> None:
        self.total, self.what, self.unit = total, what, unit
        self.done: float = 0
        self._stage, self._outlook = "", None
        self._own_rate: float | None = None
        self._skipped, self._start = 0.0, time.monotonic()

    def foresee(self, stage: str, outlook: Outlook) -> None:
        """Lets the bar show how long all stages together will go on, and tell how fast this one was."""
        self._stage, self._outlook = stage, outlook

    def _whole(self, rate: float) -> str:
        """How long the whole run will go on, if this stage goes on at a rate."""
        if self._outlook is None:
            return ""
        self._outlook.measured(self._stage, self._own_rate or rate)
        left = self._outlook.left(self._stage, (self.total - self.done) / rate)
        return "whole run: not known yet" if left is None else f"whole run about {clock(left)} left"

    def went(self, rate: float) -> None:
        """How fast the work itself goes where that is known better than by the clock, which also counts what comes
        before it, as the start of workers: the outlook is given this."""
        self._own_rate = rate

    def update(self, count: float = 1, note: str = "") -> None:
        """Notes that so much more is done.

        Args:
            count: The amount.
            note: A remark to show, until the next one.
        """
        self.done += count

    def skip(self, count: float = 1) -> None:
        """So much was done by an earlier process: it says nothing of how fast this one is."""
        self.done += count
        self._skipped += count

    def finish(self) -> None:
        """Ends the bar, as the work is done."""
        seconds = time.monotonic() - self._start
        if self._outlook is not None and self._made and seconds > 0:
            self._outlook.measured(self._stage, self._own_rate or self._made / seconds)

    def close(self) -> None:
        """The work is done, or given up."""

    @property
    def _made(self) -> float:
        """The amount that this process has done."""
        return self.done - self._skipped


class TerminalBar(Bar):
    """A bar that moves."""

    def __init__(self, total: float, what: str, unit: str) -> None:
        super().__init__(total, what, unit)
        self._note = ""
        self._bar = tqdm(
            total=total,
            desc=what,
            unit=unit if unit == BYTES else f" {unit}",
            unit_scale=unit == BYTES or total >= 1e6,
            file=sys.stderr,
            dynamic_ncols=True,
            mininterval=0.2,
            smoothing=0.05,
        )

    def update(self, count: float = 1, note: str = "") -> None:
        super().update(count)
        self._note = one_line(note) or self._note
        rate = self._made / max(time.monotonic() - self._start, 1e-9)
        # tqdm draws when there is something to count.
        shown = ", ".join(part for part in (self._note, self._whole(rate) if rate else "") if part)
        if shown:
            self._bar.set_postfix_str(shown, refresh=bool(note) and not count)
        self._bar.update(count)

    def skip(self, count: float = 1) -> None:
        super().skip(count)
        # tqdm leaves what was there at its start out of the rate.
        self._bar.initial += count
        self._bar.last_print_n += count
        self._bar.n += count

    def close(self) -> None:
        self._bar.close()


class LineBar(Bar):
    """Lines, for a log file: `2/4 search 45 % · 925 of 2,048 candidates · 15.0 candidates/s · 1:14 left`."""

    def __init__(self, total: float, what: str, unit: str) -> None:
        super().__init__(total, what, unit)
        self._note = ""
        self._last_count = self._start
        # When the last line was written, and what was done then by this process: time left is judged by what follows.
        self._said_at, self._said, self._has_said = self._start, 0.0, False

    def update(self, count: float = 1, note: str = "") -> None:
        super().update(count)
        self._note = one_line(note) or self._note
        now = time.monotonic()
        if count:
            self._last_count = now
        gap, made = now - self._said_at, self._made - self._said
        if self._has_said:
            due = gap >= LARGEST_GAP or (gap >= LEAST_GAP and made >= self.total / 10)
        else:
            due = gap >= FIRST_LINE
        if due:
            self._say(made / gap, now)

    def finish(self) -> None:
        super().finish()
        seconds = time.monotonic() - self._start
        if self.done:
            # After the last of it something else may have gone on, of which there was only a note.
            rate = self._rate(self._made, self._last_count - self._start)
            parts = [self._amount(), rate, self._note, f"took {clock(seconds)}"]
            self._print(parts)

    def _say(self, rate: float, now: float) -> None:
        left = f"{clock((self.total - self.done) / rate)} left" if rate else ""
        whole = self._whole(rate) if rate else ""
        self._print([self._amount(), speed(rate, self.unit) if rate else "", self._note, left, whole])
        self._said_at, self._said, self._has_said = now, self._made, True

    def _rate(self, made: float, seconds: float) -> str:
        return speed(made / seconds, self.unit) if made and seconds else ""

    def _amount(self) -> str:
        # Rounded down: 100 % are all.
        percent = int(100 * min(1.0, self.done / self.total))
        done = amount(self.done, self.unit).removesuffix(f" {self.unit}" if self.unit != BYTES else "")
        return f"{percent} % · {done} of {amount(self.total, self.unit)}"

    def _print(self, parts: Sequence[str]) -> None:
        print(f"{self.what} " + " · ".join(part for part in parts if part), file=sys.stderr, flush=True)


def _is_terminal() -> bool:
    """Whether standard error is a terminal; one that has no width, as some containers give, is as good as a file."""
    return sys.stderr.isatty() and os.get_terminal_size(sys.stderr.fileno()).columns > 0


def amount(count: float, unit: str) -> str:
    """`32,000 rows`; bytes in the unit that fits."""
    return size(count) if unit == BYTES else f"{count:,.0f} {unit}"


def size(num_bytes: float) -> str:
    """Bytes in the unit that fits: `3.4 MB`, with 1,000 of one to the next."""
    units = ["B", "kB", "MB", "GB", "TB"]
    while num_bytes >= 999.5 and len(units) > 1:
        num_bytes /= 1000
        units.pop(0)
    return f"{num_bytes:.0f} {units[0]}" if units[0] == "B" or num_bytes >= 99.5 else f"{num_bytes:.1f} {units[0]}"


def speed(rate: float, unit: str) -> str:
    """How fast work goes: `5,210 rows/s`, `15.0 candidates/s`, or `42 s a model` when it is slow.

    Args:
        rate: The amount a second, above 0.
        unit: The unit of the work, in the plural.
    """
    if unit == BYTES:
        return f"{size(rate)}/s"
    if rate >= 99.5:
        return f"{rate:,.0f} {unit}/s"
    if rate >= 0.5:
        return f"{rate:.1f} {unit}/s"
    return f"{1 / rate:,.0f} s a {unit.removesuffix('s')}"


def clock(seconds: float) -> str:
    """Time as on a clock: `0:09`, `12:30`, `3:05:00`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
