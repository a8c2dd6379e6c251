"""Work in several processes: its order, its faults, its end."""

from __future__ import annotations

import operator
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from recnas.execution.executor import Executor, LocalProcesses, ThisProcess
from recnas.util.errors import RunError


def _nothing() -> None:
    pass


def _square(worker: None, number: int) -> int:
    return number * number


def _die(worker: None, number: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return number


@pytest.fixture(scope="module")
def processes() -> Iterator[LocalProcesses]:
    """Two that stay alive."""
    with LocalProcesses(2, _nothing) as executor:
        executor.wait_for_start()
        yield executor


def test_results_come_in_the_order_of_the_work_whatever_the_effort(processes: LocalProcesses) -> None:
    with ThisProcess(_nothing) as executor:
        for each in (executor, processes):
            assert list(each.map(_square, [3, 1, 2], effort=lambda number: number)) == [9, 1, 4]


def feed(*parts: list[float]) -> Callable[[], list[float]]:
    """Gives one part after the other, and then nothing."""
    left = list(parts)
    return lambda: left.pop(0) if left else []


def _sleep(worker: None, seconds: float) -> float:
    time.sleep(seconds)
    return -seconds


def test_work_that_comes_meanwhile_is_begun_and_what_is_done_first_is_given_first(processes: LocalProcesses) -> None:
    more = feed([3.0, 0.1], [0.2], [], [0.3])
    assert list(processes.as_done(_sleep, more)) == [(0.1, -0.1), (0.2, -0.2), (3.0, -3.0), (0.3, -0.3)]
    with ThisProcess(_nothing) as executor:
        found = [item for item, _ in executor.as_done(_sleep, feed([0.02, 0.01], [0.0], [], []))]
        assert found == [0.02, 0.01, 0.0]
        assert not list(executor.as_done(_sleep, feed()))


def test_work_that_nobody_waits_for_any_more_is_not_begun(processes: LocalProcesses, tmp_path: Path) -> None:
    files = [tmp_path / str(number) for number in range(8)]
    done = processes.as_done(_touch, feed(files))
    next(done)
    done.close()
    # All that was begun has ended before this has.
    assert list(processes.map(_square, [1, 2], effort=float)) == [1, 4]
    assert sum(file.exists() for file in files) < len(files)


def _touch(worker: None, file: Path) -> None:
    time.sleep(0.1)
    file.touch()


def test_work_is_given_the_worker_of_its_process() -> None:
    with ThisProcess(int, ("41",)) as here, LocalProcesses(2, int, ("41",)) as processes:
        for executor in (here, processes):
            assert list(executor.map(operator.add, [1, 2], effort=float)) == [42, 43]
        assert here.worker == 41


def test_threads_share_torchs_threads_and_leave_them_as_they_were() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    together = threading.Barrier(2, timeout=30)

    def meet(worker: None, number: int) -> tuple[int, int]:
        # Nobody passes alone.
        together.wait()
        return number, torch.get_num_threads()

    try:
        with ThisProcess(_nothing) as executor:
            found = list(executor.map(meet, [1, 2, 3, 4], effort=lambda number: number, single_threaded=True))
        assert found == [(1, 1), (2, 1), (3, 1), (4, 1)]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_work_that_fails_in_a_thread_ends_the_rest() -> None:
    done = []

    def work(worker: None, number: int) -> None:
        done.append(number)
        time.sleep(0.05)
        if number == 0:
            raise ValueError("no")

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with ThisProcess(_nothing) as executor, pytest.raises(ValueError, match="no"):
            list(executor.map(work, list(range(20)), effort=lambda number: -number, single_threaded=True))
    finally:
        torch.set_num_threads(before)
    assert len(done) < 20


def _begun(worker: None, item: tuple[str, int]) -> None:
    file, number = item
    with open(file, "a") as lines:
        lines.write(f"{number}\n")
    time.sleep(0.1)


def test_the_longest_work_is_begun_first(processes: LocalProcesses, tmp_path: Path) -> None:
    items = [(str(tmp_path / "order"), number) for number in (1, 4, 2, 3)]
    list(processes.map(_begun, items, effort=lambda item: item[1]))
    order = list(map(int, (tmp_path / "order").read_text().split()))
    assert set(order[:2]) == {3, 4}


def test_work_begins_in_order_but_for_the_last(processes: LocalProcesses, tmp_path: Path) -> None:
    items = [(str(tmp_path / "order"), number) for number in range(20)]
    list(processes.map(_begun, items, effort=lambda item: item[1]))
    order = list(map(int, (tmp_path / "order").read_text().split()))
    # Of two side by side, either may be the first to write.
    assert {order[0], order[1]} == {0, 1}
    assert {order[2], order[3]} == {2, 3}
    assert set(order[4:6]) == {18, 19}


def test_a_worker_that_cannot_start_is_said_before_there_is_work() -> None:
    def check_for_a_minute(executor: Executor) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            executor.check()
            time.sleep(0.05)

    with pytest.raises(RunError, match="a worker process died"), LocalProcesses(2, os._exit, (1,)) as executor:
        check_for_a_minute(executor)


def test_a_worker_that_dies_is_said() -> None:
    with pytest.raises(RunError, match="a worker process died"), LocalProcesses(2, _nothing) as executor:
        list(executor.map(_die, [1, 2], effort=float))


def test_workers_end_when_their_parent_is_killed() -> None:
    program = (
        "import time; from operator import add; from recnas.execution.executor import LocalProcesses\n"
        "if __name__ == '__main__':\n"
        "    executor = LocalProcesses(2, int)\n"
        "    print(*executor.map(add, [1, 2], effort=float), flush=True)\n"
        "    print('workers', *executor._pool._processes, flush=True)\n"
        "    time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    try:
        workers = next(line.split()[1:] for line in parent.stdout if line.startswith("workers"))
    finally:
        parent.kill()
        parent.communicate()
    assert len(workers) == 2
    deadline = time.monotonic() + 20
    while any(_alive(worker) for worker in workers):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _alive(process: str) -> bool:
    """Whether a process runs: it is there and not a zombie that nobody asks for."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", process], capture_output=True, text=True).stdout.strip()
    return state != "" and not state.startswith("Z")
