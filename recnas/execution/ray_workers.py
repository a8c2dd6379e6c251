"""Work on a Ray cluster: actors that keep what they have loaded, and tasks that go wherever there is room.

Workers on other machines see the data set and the run's folder on a file system that all share; `docs/cluster.md` says
what else a cluster needs. It and `ray_cluster` alone know Ray, an extra that is imported when it is asked for.
"""

from __future__ import annotations

import hashlib
import os
import socket
import time
import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from recnas.execution.executor import Executor, beginning_order
from recnas.execution.ray_cluster import connect
from recnas.nn.model import default_device
from recnas.util.errors import InputError, RunError, first_line

MOST_DEATHS = 5
"""How many workers the same work may take with it: by then it is the work."""
START_WITHIN = 300.0
"""Seconds within which a worker must be up; a cluster that grows on demand takes minutes."""
SEEN_WITHIN = 10.0
"""Seconds within which a file that is written here is seen elsewhere."""
ENDED_WITHIN = 10.0
"""Seconds within which tasks that nobody waits for any more have ended; a machine that is gone says nothing."""
SAID_AFTER = 15.0
"""Seconds after which it is said what workers wait for; one that has room starts within these."""


@dataclass(frozen=True)
class _Preparation:
    """What makes a worker: `start(*arguments)` in a working directory, where it must see files."""

    start: Callable[..., Any]
    arguments: tuple[Any, ...]
    directory: str

    def __call__(self) -> Any:
        # Two of them on one machine would wait for each other; and the bits of a score are those of one thread.
        torch.set_num_threads(1)
        # Proxies of the user's own are looked for here.
        with suppress(OSError):
            os.chdir(self.directory)
        return self.start(*self.arguments)


class _Worker:
    """An actor: its worker is made once, and keeps what it has, such as the warm supernet."""

    def prepare(self, preparation: _Preparation) -> _Outcome:
        def make() -> None:
            self._worker = preparation()

        return _attempt(make)

    def see(self, files: Mapping[str, str]) -> _Outcome:
        return _attempt(_see, files)

    def work(self, function: Callable[[Any, Any], Any], item: Any) -> _Outcome:
        return _attempt(function, self._worker, item)


def _work_apart(
    preparation: _Preparation, files: Mapping[str, str], function: Callable[[Any, Any], Any], item: Any
) -> Iterator[_Outcome]:
    """A task: says that it has begun, makes a worker in the process that it is given, and does one item."""
    yield _Outcome()

    def do() -> Any:
        worker = preparation()
        _see(files)
        return function(worker, item)

    yield _attempt(do)


@dataclass(frozen=True)
class _Outcome:
    """What came of a call: a value, or what it raised, so that it comes here as itself."""

    value: Any = None
    error: Exception | None = None

    def unpack(self) -> Any:
        if self.error is not None:
            raise self.error
        return self.value


def _attempt(function: Callable[..., Any], *arguments: Any) -> _Outcome:
    try:
        return _Outcome(function(*arguments))
    except Exception as error:
        error.add_note(f"on a Ray worker:\n{traceback.format_exc()}")
        return _Outcome(error=error)


def _see(files: Mapping[str, str]) -> None:
    """Looks for files by their digests.

    Raises:
        InputError: One is not there, or another one is.
    """
    deadline = time.monotonic() + SEEN_WITHIN
    for path, digest in files.items():
        while _digest(Path(path)) != digest:
            if time.monotonic() > deadline:
                raise InputError(
                    f"the Ray worker on {socket.gethostname()} does not see {path} as it is here; the data set and the "
                    "run's folder must be on a file system that all machines share"
                )
            time.sleep(0.2)


def _digest(path: Path) -> str | None:
    try:
        return hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()
    except OSError:
        return None


@dataclass(eq=False)
class _Actor:
    """One worker that keeps its state, and what it has to do before it is up."""

    handle: Any
    starting: list[Any] = field(default_factory=list)


class RayWorkers(Executor):
    """Does the work on a Ray cluster.

    Work that needs what a worker keeps goes to actors; what is `apart` goes out as tasks, when the actors have ended
    and made room. Each worker has one CPU and one thread, and a GPU where this process computes on one. Work that is
    lost with a worker is done again by another.

    Args:
        address: See `connect`.
        workers: How many; None for one for each CPU, or GPU, of the cluster.
        say: Told once, in a line, what work waits for on a full cluster.
        start: Makes each one's worker.
        arguments: What `start` is given.

    Raises:
        InputError: The cluster cannot be reached.
    """

    def __init__(
        self,
        address: str,
        workers: int | None,
        say: Callable[[str], None],
        start: Callable[..., Any],
        arguments: tuple[Any, ...] = (),
    ) -> None:
        self._is_ours = connect(address, workers)
        import ray

        self._ray = ray
        # What each worker takes one of, the scarcest last.
        self._kinds = ("CPU", "GPU") if default_device().type == "cuda" else ("CPU",)
        needs = {f"num_{kind.lower()}s": 1 for kind in self._kinds}
        self._actor, self._task = (
            ray.remote(**needs)(_Worker),
            ray.remote(**needs, max_retries=0, num_returns="streaming")(_work_apart),
        )
        self.workers = workers or max(1, int(ray.cluster_resources().get(self._kinds[-1], 1)))
        self._address, self._say, self._has_said = address, say, False
        self._preparation = _Preparation(start, arguments, os.getcwd())
        self._files: dict[str, str] = {}
        self._deaths_at_start, self._is_closed = 0, False
        self._actors: list[_Actor] = []
        # The tasks that have said so.
        self._begun: set[Any] = set()
        self._fill_up()

    def map(
        self,
        function: Callable[[Any, Any], Any],
        items: Sequence[Any],
        effort: Callable[[Any], float],
        single_threaded: bool = False,
        apart: bool = False,
    ) -> Iterator[Any]:
        order = [beginning_order(items, effort, self.side_by_side)]
        results: dict[int, Any] = {}
        with closing(self._as_done(function, items.__getitem__, lambda: order.pop() if order else [], apart)) as done:
            for place in range(len(items)):
                while place not in results:
                    other, result = next(done)
                    results[other] = result
                yield results.pop(place)

    def as_done(
        self, function: Callable[[Any, Any], Any], more: Callable[[], Sequence[Any]]
    ) -> Iterator[tuple[Any, Any]]:
        items: dict[int, Any] = {}

        def places() -> range:
            before = len(items)
            items.update(enumerate(more(), before))
            return range(before, len(items))

        with closing(self._as_done(function, items.__getitem__, places, apart=True)) as done:
            for place, result in done:
                yield items[place], result

    def _as_done(
        self,
        function: Callable[[Any, Any], Any],
        item_at: Callable[[int], Any],
        more: Callable[[], Iterable[int]],
        apart: bool,
    ) -> Iterator[tuple[int, Any]]:
        """Results with the places of their items, as they are known; arguments as in `map` and `as_done`."""
        waiting, deaths = deque(more()), Counter[int]()
        under_way: dict[Any, tuple[int, _Actor | None]] = {}
        if apart:
            self._end_actors()
        try:
            while waiting or under_way:
                for actor in self._free(under_way, apart)[: len(waiting)]:
                    place = waiting.popleft()
                    under_way[self._begin(actor, function, item_at(place))] = place, actor
                for reference in self._some_done(under_way):
                    place, actor = under_way.pop(reference)
                    only_begins = actor is None and reference not in self._begun
                    self._begun.discard(reference)
                    try:
                        result = self._get(reference if actor is not None else next(reference))
                    except _WorkerLost as lost:
                        deaths[place] += 1
                        if deaths[place] == MOST_DEATHS:
                            raise _given_up(lost) from None
                        waiting.appendleft(place)
                        if actor is not None:
                            self._end(actor)
                        continue
                    if only_begins:
                        self._begun.add(reference)
                        under_way[reference] = place, actor
                    else:
                        yield place, result
                        waiting.extend(more())
        finally:
            # Work that nobody waits for any more; after `close` it has ended, and Ray would connect anew to end it.
            if not self._is_closed:
                self._give_up(under_way)
            self._begun.clear()

    def wait_for_start(self) -> None:
        self._fill_up()
        while any(actor.starting for actor in self._actors):
            self._some_done({})

    def check(self) -> None:
        self._note_started(timeout=0)

    def check_files(self, files: Sequence[Path]) -> None:
        self._files |= {os.path.abspath(path): str(_digest(path)) for path in files}
        for actor in self._actors:
            actor.starting.append(actor.handle.see.remote(self._files))

    def close(self, failed: bool) -> None:
        self._is_closed = True
        self._end_actors()
        if self._is_ours:
            self._ray.shutdown()

    def _fill_up(self) -> None:
        """Starts the actors that are missing."""
        while len(self._actors) < self.workers:
            handle = self._actor.remote()
            starting = [handle.prepare.remote(self._preparation)]
            if self._files:
                starting.append(handle.see.remote(self._files))
            self._actors.append(_Actor(handle, starting))

    def _free(self, under_way: Mapping[Any, tuple[int, _Actor | None]], apart: bool) -> list[_Actor | None]:
        """Who can be given work; None stands for a task."""
        if apart:
            return [None] * (self.workers - len(under_way))
        self._fill_up()
        busy = {actor for _, actor in under_way.values()}
        return [actor for actor in self._actors if not actor.starting and actor not in busy]

    def _begin(self, actor: _Actor | None, function: Callable[[Any, Any], Any], item: Any) -> Any:
        if actor is not None:
            return actor.handle.work.remote(function, item)
        return self._task.remote(self._preparation, self._files, function, item)

    def _some_done(self, under_way: Mapping[Any, Any]) -> list[Any]:
        """Waits for work or for the start of actors; gives the work that is done, and the tasks that have begun."""
        starting = [reference for actor in self._actors for reference in actor.starting]
        waited_for = [*under_way, *starting]
        done, _ = self._ray.wait(waited_for, timeout=SAID_AFTER)
        if not done:
            self._say_what_waits(under_way)
            done, _ = self._ray.wait(waited_for, timeout=None if under_way else START_WITHIN - SAID_AFTER)
        if not done:
            raise RunError(
                f"no Ray worker was up within {START_WITHIN:.0f} s; has the cluster room for it? `ray status` shows it"
            )
        self._note_started(timeout=0)
        return [reference for reference in done if reference in under_way]

    def _say_what_waits(self, under_way: Mapping[Any, tuple[int, _Actor | None]]) -> None:
        """Says, once, if work waits for room: Ray does so without a word."""
        free, there = self._ray.available_resources(), self._ray.cluster_resources()
        shares = [f"{free.get(kind, 0):g} of {there.get(kind, 0):g} {kind}s" for kind in self._kinds]
        waiting = sum(actor is None and task not in self._begun for task, (_, actor) in under_way.items())
        waiting += sum(bool(actor.starting) for actor in self._actors)
        if waiting and not self._has_said and any(free.get(kind, 0) < 1 for kind in self._kinds):
            self._has_said = True
            self._say(
                f"--ray {self._address}: {waiting} of {self.workers} workers have not begun after {SAID_AFTER:.0f} s; "
                f"each takes 1 {' and 1 '.join(self._kinds)}, free are {', '.join(shares)}"
            )

    def _note_started(self, timeout: float) -> None:
        """Takes note of actors that are up, and of those that died on the way."""
        for actor in list(self._actors):
            while actor.starting and self._ray.wait(actor.starting[:1], timeout=timeout)[0]:
                try:
                    self._get(actor.starting.pop(0))
                except _WorkerLost as lost:
                    self._deaths_at_start += 1
                    if self._deaths_at_start == MOST_DEATHS:
                        raise _given_up(lost) from None
                    self._end(actor)
                    self._fill_up()
                    break

    def _get(self, reference: Any) -> Any:
        """What came of a call.

        Raises:
            _WorkerLost: Nothing, as its worker is gone.
            Exception: What was raised there.
        """
        try:
            outcome = self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            # Nothing of what the call itself raises: it was not understood there.
            raise RunError(
                f"a Ray worker cannot do recnas's work ({_last_line(error)}); install the same recnas on every machine"
            ) from None
        except self._ray.exceptions.RayError as error:
            raise _WorkerLost(first_line(error)) from None
        return outcome.unpack()

    def _give_up(self, under_way: Mapping[Any, tuple[int, _Actor | None]]) -> None:
        """Ends work that is under way, and waits until its tasks write no more files."""
        tasks = []
        for reference, (_, actor) in under_way.items():
            if actor is not None:
                self._end(actor)
            else:
                self._ray.cancel(reference, force=True)
                tasks.append(reference)
        deadline = time.monotonic() + ENDED_WITHIN
        for task in tasks:
            # A task has ended when it gives nothing more: no value, or that it was cancelled.
            with suppress(StopIteration, self._ray.exceptions.RayError):
                while (left := deadline - time.monotonic()) > 0 and self._ray.wait([task], timeout=left)[0]:
                    self._ray.get(next(task))

    def _end(self, actor: _Actor) -> None:
        self._actors.remove(actor)
        with suppress(self._ray.exceptions.RayError):
            self._ray.kill(actor.handle)

    def _end_actors(self) -> None:
        for actor in list(self._actors):
            self._end(actor)


class _WorkerLost(Exception):
    """A worker is gone with its work."""


def _given_up(lost: _WorkerLost) -> RunError:
    return RunError(
        f"{MOST_DEATHS} Ray workers died at the same work ({lost}); out of memory? Go on with --resume and fewer "
        "workers a machine"
    )


def _last_line(error: BaseException) -> str:
    return next((line.strip() for line in reversed(str(error).splitlines()) if line.strip()), type(error).__name__)
