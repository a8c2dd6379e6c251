"""Work in several processes: its order, its faults, its end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from recnas.errors import RunError
from recnas.search.executor import Executor


def _nothing() -> None:
    pass


def _square(number: int) -> int:
    return number * number


def _die(number: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return number


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_the_order_of_the_work_whatever_the_effort(workers: int) -> None:
    with Executor(workers, _nothing, ()) as executor:
        assert list(executor.map(_square, [3, 1, 2], effort=lambda number: number)) == [9, 1, 4]


def test_a_worker_that_dies_is_said() -> None:
    with pytest.raises(RunError, match="a worker process died"), Executor(2, _nothing, ()) as executor:
        list(executor.map(_die, [1, 2], effort=float))


def test_workers_end_when_their_parent_is_killed() -> None:
    program = (
        "import os, time; from recnas.search.executor import Executor\n"
        "if __name__ == '__main__':\n"
        "    executor = Executor(2, print, ())\n"
        "    print(*executor.map(abs, [1, 2], effort=float), flush=True)\n"
        "    print(*executor._pool._processes, flush=True)\n"
        "    time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    lines = (line.split() for line in parent.stdout)
    workers = next(list(map(int, line)) for line in lines if len(line) == 2 and int(line[0]) > 2)
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 20
    while any(_alive(worker) for worker in workers):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _alive(process: int) -> bool:
    try:
        with open(f"/proc/{process}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
