"""What a command takes: seconds, memory of all its processes, and what it leaves on the disk. Linux only."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

LOOK_EVERY = 2.0
"""Seconds between two looks at its processes."""


@dataclass(frozen=True)
class Taken:
    """What a command took.

    Attributes:
        seconds: Wall-clock time, of all attempts where it was killed.
        processor_seconds: Of all its processes; of a killed attempt those of some are not known.
        peak: Bytes of memory of all its processes at one time; what they share counts once.
        code: Its exit code; negative: the signal that ended it.
        is_over: Whether it ended by itself, however that was.
        kills: How often it was killed, and given again.
    """

    seconds: float
    processor_seconds: float
    peak: int
    code: int
    is_over: bool = True
    kills: int = 0

    def and_then(self, other: Taken) -> Taken:
        """Both, one after the other."""
        return Taken(
            self.seconds + other.seconds,
            self.processor_seconds + other.processor_seconds,
            max(self.peak, other.peak),
            other.code,
            other.is_over,
            self.kills + 1,
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def run(command: Sequence[str], log: Path, until: Callable[[], bool] | None = None) -> Taken:
    """Runs a command to its end.

    Args:
        command: It and its arguments.
        log: The file to which its output is added.
        until: Is asked all the time; when it holds, the command is killed with all its processes.
    """
    start, before = time.perf_counter(), os.times()
    peak, is_over, ended = 0, True, threading.Event()
    with log.open("ab") as output:
        output.write(f"\n$ {' '.join(command)}\n".encode())
        output.flush()
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)

        def look() -> None:
            nonlocal peak
            while not ended.wait(LOOK_EVERY):
                peak = max(peak, sum(map(_memory_of, family(process.pid))))

        watcher = threading.Thread(target=look, daemon=True)
        watcher.start()
        try:
            while process.poll() is None:
                if until is not None and until():
                    is_over = False
                    _kill(process)
                    break
                time.sleep(0.05)
        finally:
            _kill(process)
            ended.set()
            watcher.join()
    after = os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return Taken(time.perf_counter() - start, spent, peak, process.returncode, is_over)


def family(first: int) -> list[int]:
    """A process and all that it has started, and these, whatever their sessions: `torchrun` gives each its own."""
    children: dict[int, list[int]] = {}
    for place in Path("/proc").iterdir():
        if place.name.isdecimal():
            # It may have just ended. The fourth field; the second, in parentheses, may have blanks.
            with suppress(OSError):
                parent = int((place / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(place.name))
    found = [first]
    for process in found:
        found += children.get(process, [])
    return found


def _kill(process: subprocess.Popen) -> None:
    """Ends a process that runs, with its family."""
    if process.poll() is None:
        for member in family(process.pid):
            with suppress(ProcessLookupError):
                os.kill(member, signal.SIGKILL)
    process.wait()


def _memory_of(process: int) -> int:
    """Bytes of memory of a process; what it shares with others is shared out."""
    with suppress(OSError):
        for line in Path(f"/proc/{process}/smaps_rollup").read_text(encoding="utf-8").splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files in a folder; 0 where there is none."""
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
