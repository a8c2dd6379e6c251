"""Ctrl-C during long work that has something to show already: it asks whether to finish, to stop, or to go on."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

QUESTION = "\nFinish now with what was found, stop (--resume goes on later), or go on? [f/s/g] "


class FinishNow(Exception):
    """The user wants what was found so far."""


@contextmanager
def asked_on_interrupt(can_finish: Callable[[], bool]) -> Iterator[None]:
    """In the `with` block Ctrl-C asks at a terminal; elsewhere, and while it asks, it stops as ever.

    Args:
        can_finish: Whether there is something to finish with.

    Raises:
        FinishNow: In the block, where the user wants that.
        KeyboardInterrupt: In the block, where the user wants to stop.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if not (is_main and sys.stdin.isatty() and sys.stderr.isatty()):
        yield
        return

    def ask(number: int, frame: FrameType | None) -> None:
        # A second one while it asks stops.
        signal.signal(signal.SIGINT, before)
        if not can_finish():
            raise KeyboardInterrupt
        print(QUESTION, end="", file=sys.stderr, flush=True)
        answer = sys.stdin.readline().strip().lower()
        if answer.startswith("f"):
            raise FinishNow
        if not answer.startswith("g"):
            raise KeyboardInterrupt
        signal.signal(signal.SIGINT, ask)

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
