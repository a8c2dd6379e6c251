"""Ctrl-C in the middle of a search, at a terminal that is made up."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable

import pytest

from recnas.util.interrupting import FinishNow, asked_on_interrupt


class Terminal:
    def __init__(self, *answers: str) -> None:
        self._answers = list(answers)

    def isatty(self) -> bool:
        return True

    def readline(self) -> str:
        return self._answers.pop(0)

    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None: ...


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def twice() -> None:
    interrupt()
    interrupt()


Answer = Callable[..., None]


@pytest.fixture
def at_terminal(monkeypatch: pytest.MonkeyPatch) -> Answer:
    def answer(*answers: str) -> None:
        monkeypatch.setattr(sys, "stdin", Terminal(*answers))
        monkeypatch.setattr(sys, "stderr", Terminal())

    return answer


def test_an_answer_finishes_stops_or_goes_on(at_terminal: Answer) -> None:
    before = signal.getsignal(signal.SIGINT)
    at_terminal("f\n")
    with pytest.raises(FinishNow), asked_on_interrupt(lambda: True):
        interrupt()
    at_terminal("\n")
    with pytest.raises(KeyboardInterrupt), asked_on_interrupt(lambda: True):
        interrupt()
    at_terminal("g\n", "Finish\n")
    with pytest.raises(FinishNow), asked_on_interrupt(lambda: True):
        twice()
    assert signal.getsignal(signal.SIGINT) is before


def test_with_nothing_to_finish_with_and_without_a_terminal_it_stops(at_terminal: Answer) -> None:
    at_terminal()
    with pytest.raises(KeyboardInterrupt), asked_on_interrupt(lambda: False):
        interrupt()


def test_without_a_terminal_it_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False, raising=False)
    with asked_on_interrupt(lambda: True):
        assert signal.getsignal(signal.SIGINT) is before
    with pytest.raises(KeyboardInterrupt), asked_on_interrupt(lambda: True):
        interrupt()
