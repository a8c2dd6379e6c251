"""How a command speaks and ends: what it prints, its errors as one line each, and its exit code."""

from __future__ import annotations

import errno
import os
import select
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from types import FrameType
from typing import NoReturn

from recnas.util.errors import InputError, RunError
from recnas.util.memory import is_out_of_memory
from recnas.util.printable import PrintableStream, one_line

LOST = ("connection closed by peer", "connection reset by peer", "broken pipe", "gloo", "nccl", "tcpstore")
"""Words of what torch says of a process that is gone."""
FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
"""Errors of a place where a process may not read or write."""


class Terminated(KeyboardInterrupt):
    """The process was asked to end (SIGTERM); work is left as at Ctrl-C."""


def exit_code(
    command: Callable[[], None],
    debug: bool = False,
    remedy: str = "",
    memory_remedy: Callable[[], str] | None = None,
) -> int:
    """Runs a command; gives 0, 2 for bad input, 1 for a failure, 130 when interrupted, 143 when terminated, and 141
    when nobody reads what it prints any more.

    Of several processes that `torchrun` started the first one prints; the others print errors of their own alone.

    Args:
        command: The function to run.
        debug: Show the stack trace of an error.
        remedy: The advice when the command was interrupted or a process was lost, after a semicolon.
        memory_remedy: Gives what takes the memory, and what to do where there is not enough.
    """
    rank, size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    name = "recnas" if size == 1 else f"recnas (process {rank})"
    try:
        with _ending_when_terminated():
            return _exit_code(command, debug, remedy, memory_remedy, name)
    except KeyboardInterrupt as stop:
        terminated = isinstance(stop, Terminated)
        if rank == 0:
            print(f"recnas: {'terminated' if terminated else 'interrupted'}{remedy}", file=sys.stderr)
        return 128 + (signal.SIGTERM if terminated else signal.SIGINT)


def print_all_letters() -> None:
    """Lets every text be printed, whatever a terminal can show: letters that it has not become `\\u4e2d` and the like.

    The first thing that a command does.
    """
    for stream in (sys.stdout, sys.stderr):
        # Where there is no terminal, as in a notebook, a stream may be of another kind.
        if (reconfigure := getattr(stream, "reconfigure", None)) is not None:
            reconfigure(errors="backslashreplace")


def _exit_code(
    command: Callable[[], None],
    debug: bool,
    remedy: str,
    memory_remedy: Callable[[], str] | None,
    name: str,
) -> int:
    rank, size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    try:
        with _silent() if rank else redirect_stdout(PrintableStream(sys.stdout)):
            command()
        if size > 1 and _has_joined():
            _leave()
        sys.stdout.flush()
    except Exception as error:
        if isinstance(error, BrokenPipeError) and _nobody_reads():
            # Python would try once more when it ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 128 + signal.SIGPIPE
        told = _told(error, remedy if size > 1 else None, memory_remedy)
        if told is None:
            raise
        if debug:
            traceback.print_exc()
        elif rank == 0 or not _is_told_by_first(error):
            print(f"{name}: {one_line(told)}", file=sys.stderr)
        return 2 if isinstance(error, InputError) else 1
    return 0


def _nobody_reads() -> bool:
    """Whether the other end of the pipe that this process prints into is closed, as `head` does when it has enough."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def _told(error: Exception, lost: str | None, memory_remedy: Callable[[], str] | None) -> str | None:
    """An error in one line; None if it is a fault of the program, which only its stack trace can explain.

    Args:
        error: The exception that was raised.
        lost: The advice when another process was lost; None where there is no other.
        memory_remedy: See `exit_code`.
    """
    if isinstance(error, InputError | RunError):
        return str(error)
    if is_out_of_memory(error):
        return f"out of memory; {memory_remedy() if memory_remedy else 'free some'}"
    if isinstance(error, OSError):
        return _told_by_system(error)
    if isinstance(error, UnicodeEncodeError) and error.encoding == sys.getfilesystemencoding() != "utf-8":
        return (
            f"{error.object!a}: this locale has no such name of a file ({error.encoding}); set PYTHONUTF8=1, or "
            "take a UTF-8 locale"
        )
    if isinstance(error, RuntimeError) and lost is not None and any(word in str(error).lower() for word in LOST):
        return f"lost another process of the job{lost}"
    return None


def _told_by_system(error: OSError) -> str:
    """A refusal of the system in one line: where, why, and what to do."""
    if error.filename is None or error.strerror is None:
        return str(error)
    where = os.fsdecode(error.filename) if isinstance(error.filename, bytes) else error.filename
    if error.errno in FORBIDDEN:
        remedy = "choose a place where this user may read and write"
    elif error.errno == errno.ENOSPC:
        remedy = "free some space"
    else:
        remedy = "check the path"
    return f"{where}: {error.strerror[0].lower()}{error.strerror[1:]}; {remedy}"


def _is_told_by_first(error: Exception) -> bool:
    """Whether the first of several processes prints an error, which all of them have alike."""
    return not _has_joined() or getattr(error, "all_raised", False)


@contextmanager
def _ending_when_terminated() -> Iterator[None]:
    """Raises `Terminated` in the `with` block when the process is asked to end, if nobody else waits for that."""

    def end(number: int, frame: FrameType | None) -> NoReturn:
        # Once: what is done on the way out must not be disturbed.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise Terminated

    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _has_joined() -> bool:
    """Whether this process has met the others; before that, what is wrong with a command all of them see alike."""
    torch = sys.modules.get("torch")
    return torch is not None and torch.distributed.is_initialized()


def _leave() -> None:
    """Ends what the processes have in common, when all have come here: one that ends early makes the others fail."""
    import torch.distributed as dist

    dist.barrier()
    dist.destroy_process_group()


@contextmanager
def _silent() -> Iterator[None]:
    with open(os.devnull, "w", encoding="utf-8") as nowhere, redirect_stdout(nowhere):
        yield
