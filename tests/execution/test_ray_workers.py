"""Work on a Ray cluster: the same results as in one process, whoever dies."""

from __future__ import annotations

import http.server
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
import ray

import recnas.data_prep
from recnas.execution import ray_cluster as cluster
from recnas.execution import ray_workers
from recnas.execution.ray_cluster import check_ray, connect
from recnas.execution.ray_workers import RayWorkers
from recnas.search import run_search
from recnas.train.divergence import Diverged
from recnas.util.errors import InputError, RunError
from tests.searches import history_of, without_seconds

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def ray_cluster() -> Iterator[None]:
    """A cluster on this machine that every executor of these tests finds, with room for two of them."""
    assert connect("local", 4)
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def workers(ray_cluster: None) -> Iterator[RayWorkers]:
    with RayWorkers("local", 2, print, int) as executor:
        yield executor


def by_value(function: Callable) -> Callable:
    """A function that workers need not import: the module of these tests is not on their path."""
    function.__module__ = "__main__"
    return function


@by_value
def _square(worker: int, number: int) -> int:
    return number * number


@by_value
def _fail(worker: int, error: Exception) -> None:
    raise error


@by_value
def _die_once(worker: int, item: tuple[str, int]) -> int:
    """Takes its worker with it the first time that it is done."""
    folder, number = item
    try:
        os.close(os.open(f"{folder}/{number}", os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return number
    if number % 3 == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


@by_value
def _die(worker: int, number: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("apart", [False, True])
def test_results_come_in_the_order_of_the_work(workers: RayWorkers, apart: bool) -> None:
    assert list(workers.map(_square, [3, 1, 2, 5], effort=lambda number: number, apart=apart)) == [9, 1, 4, 25]


def test_work_that_comes_meanwhile_is_done_and_what_was_lost_is_done_again(workers: RayWorkers, tmp_path: Path) -> None:
    parts = [[(str(tmp_path), number) for number in part] for part in ([0, 1], [2], [3], [])]
    found = list(workers.as_done(_die_once, lambda: parts.pop(0) if parts else []))
    assert sorted(number for _, number in found) == [0, 1, 2, 3]
    assert all(item[1] == number for item, number in found)


@pytest.mark.parametrize("error", [InputError("a column is missing"), RunError("full"), Diverged("the loss is nan")])
def test_what_work_raises_comes_through_as_itself(workers: RayWorkers, error: Exception) -> None:
    with pytest.raises(type(error)) as caught:
        list(workers.map(_fail, [error], effort=lambda _: 0))
    assert str(caught.value) == str(error)


def test_work_that_was_lost_with_a_worker_is_done_again(workers: RayWorkers, tmp_path: Path) -> None:
    items = [(str(tmp_path), number) for number in range(5)]
    assert list(workers.map(_die_once, items, effort=lambda item: item[1])) == list(range(5))


def test_work_that_kills_every_worker_ends_in_one_line(workers: RayWorkers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_workers, "MOST_DEATHS", 2)
    with pytest.raises(RunError, match=r"^2 Ray workers died at the same work .*out of memory") as caught:
        list(workers.map(_die, [1], effort=float, apart=True))
    assert "\n" not in str(caught.value)


@by_value
def _write_on(worker: int, item: tuple[str, float]) -> None:
    """Writes as often as it can, for some seconds."""
    path, seconds = item
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with open(path, "a") as file:
            file.write(".")


def test_tasks_that_nobody_waits_for_any_more_write_no_more(workers: RayWorkers, tmp_path: Path) -> None:
    parts = [[(str(tmp_path / "short"), 0.0), (str(tmp_path / "long"), 60.0)]]
    done = workers.as_done(_write_on, lambda: parts.pop() if parts else [])
    assert next(done)[0] == (str(tmp_path / "short"), 0.0)
    while not (tmp_path / "long").exists():
        time.sleep(0.01)
    done.close()
    size = (tmp_path / "long").stat().st_size
    time.sleep(1.0)
    assert (tmp_path / "long").stat().st_size == size


@by_value
class _Others:
    """Somebody else's work."""


@pytest.mark.parametrize("apart", [False, True])
def test_what_work_waits_for_on_a_full_cluster_is_said_once(
    ray_cluster: None, monkeypatch: pytest.MonkeyPatch, apart: bool
) -> None:
    monkeypatch.setattr(ray_workers, "SAID_AFTER", 1.0)
    others = [ray.remote(num_cpus=1)(_Others).remote() for _ in range(4)]
    while ray.available_resources().get("CPU", 0):
        time.sleep(0.1)
    said = []

    def say(line: str) -> None:
        said.append(line)
        while others:
            ray.kill(others.pop())

    with RayWorkers("local", 2, say, int) as executor:
        assert list(executor.map(_square, [3, 1], effort=float, apart=apart)) == [9, 1]
    assert said == ["--ray local: 2 of 2 workers have not begun after 1 s; each takes 1 CPU, free are 0 of 4 CPUs"]


MORTAL = '''
import os, signal, sys
from pathlib import Path

def proxy(candidate):
    """Takes its process with it the first time that it is asked for one candidate in three."""
    if int(candidate.arch.id, 16) % 3 == 0:
        try:
            (Path(__file__).parent / "died" / candidate.arch.id).touch(exist_ok=False)
        except FileExistsError:
            pass
        else:
            os.kill(os.getpid(), signal.SIGKILL)
    return 0.0
'''


def test_a_search_on_a_cluster_whose_workers_die_has_the_history_of_one_process(
    ray_cluster: None, data: Path, tmp_path: Path, small: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mortal.py").write_text(MORTAL)
    (tmp_path / "died").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    small["proxy"]["score"] = "zico + fr - loss + mortal:proxy"
    # Relative, as the workers are in another directory.
    cluster_run = run_search(data, "cluster", progress=False, ray="local", workers=2, **small)
    died = list((tmp_path / "died").iterdir())
    assert len(died) > 1
    alone = run_search(data, "alone", progress=False, **small)
    histories = [without_seconds(history_of(tmp_path / run)) for run in ("cluster", "alone")]
    assert histories[0] == histories[1]
    assert [model["id"] for model in cluster_run["models"]] == [model["id"] for model in alone["models"]]
    assert cluster_run["best"] == alone["best"]


def test_a_worker_that_does_not_see_the_same_files_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_workers, "SEEN_WITHIN", 0.0)
    (file := tmp_path / "schema.json").write_text("{}")
    ray_workers._see({str(file): ray_workers._digest(file)})
    with pytest.raises(InputError, match=r"does not see .*schema.json as it is here; .*file system"):
        ray_workers._see({str(file): "another"})
    with pytest.raises(InputError, match="does not see"):
        ray_workers._see({str(tmp_path / "gone"): "any"})


def test_an_address_where_no_cluster_is_is_one_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(InputError, match=f"^--ray {address}: no cluster can be reached there"):
            cluster._reach(address)
    with pytest.raises(InputError, match=r"^--ray somewhere: give local, auto or the HOST:PORT"):
        cluster._reach("somewhere")


def test_a_clusters_head_is_known_from_what_else_answers(ray_cluster: None, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster._reach(ray.get_runtime_context().gcs_address)
    monkeypatch.setattr(cluster, "REACHED_WITHIN", 0.5)
    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    # As Ray's own port for its client is.
    other = grpc.server(ThreadPoolExecutor(1))
    other_port = other.add_insecure_port("127.0.0.1:0")
    other.start()
    with web, socket.create_server(("127.0.0.1", 0)) as silent:
        for port in (web.server_port, other_port, silent.getsockname()[1]):
            with pytest.raises(InputError, match=rf"^--ray 127.0.0.1:{port}: what answers there is not the head of"):
                cluster._reach(f"127.0.0.1:{port}")
        web.shutdown()
    other.stop(None)


@pytest.mark.parametrize(("module", "package"), [("ray", "ray"), ("grpc", "grpcio")])
def test_without_ray_what_to_install_is_said(monkeypatch: pytest.MonkeyPatch, module: str, package: str) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == module else name)
    with pytest.raises(InputError, match=rf"the package {package}; pip install 'recnas\[ray\]'"):
        check_ray()


def test_a_search_in_one_process_does_not_import_ray() -> None:
    program = "import sys, recnas.search.run; assert 'ray' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_many_files_prepared_on_a_cluster_are_the_data_set_of_one_process(
    ray_cluster: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (raw := tmp_path / "raw").mkdir()
    for day in (2, 10, 1):
        lines = [f"{number % 2}\t{day}{number}" + "\t" * 12 + "\tdeadbeef" * 26 for number in range(40)]
        (raw / f"day_{day}").write_text("\n".join([*lines, "bad", *lines]) + "\n")
    for name, address in (("alone", None), ("cluster", "local")):
        recnas.data_prep.prepare("criteo", tmp_path / name, raw, on_bad_row="skip", ray=address)
    # The last line of each bar, but for the time that it took.
    shown = [line for line in capsys.readouterr().err.splitlines() if line.startswith("reading") and "took" in line]
    assert len(shown) == 2
    assert len({line.split(" · ")[1] for line in shown}) == 1
    files = {path.relative_to(tmp_path / "alone") for path in (tmp_path / "alone").rglob("*") if path.is_file()}
    assert files == {path.relative_to(tmp_path / "cluster") for path in (tmp_path / "cluster").rglob("*.*")}
    for file in files:
        assert (tmp_path / "alone" / file).read_bytes() == (tmp_path / "cluster" / file).read_bytes()
    with pytest.raises(InputError, match=r"day_1:41: 1 fields where 40 are expected"):
        recnas.data_prep.prepare("criteo", tmp_path / "bad", raw, progress=False, ray="local")


def test_a_recipe_that_reads_no_many_files_refuses_a_cluster(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="movielens is prepared in one process; --ray is for criteo, avazu, kdd"):
        recnas.data_prep.prepare("movielens", tmp_path / "out", progress=False, ray="local")
