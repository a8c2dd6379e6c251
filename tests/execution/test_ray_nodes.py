"""Ray's own cluster of several nodes on this machine: nodes join, and one is lost while work is under way."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.cluster_utils import Cluster

from recnas.search import run_search
from tests.searches import history_of, without_seconds

pytestmark = pytest.mark.slow
MEMORY = 128 << 20
"""Ray's shared memory of a node."""


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A head, which proposes, with one CPU, and a node with another one."""
    ray.shutdown()
    # Its handler of signals could be set up by this thread alone, and nodes join from another one.
    found = Cluster(True, head_node_args={"num_cpus": 1, "object_store_memory": MEMORY}, shutdown_at_exit=False)
    found.add_node(num_cpus=1, object_store_memory=MEMORY)
    try:
        yield found
    finally:
        ray.shutdown()
        found.shutdown()


def lines_of(run: Path) -> int:
    """Evaluations that a run has noted."""
    file = run / "history.jsonl"
    return len(file.read_text().splitlines()) if file.exists() else 0


def lose_a_node(cluster: Cluster, run: Path, after: int, lost: list[int]) -> threading.Thread:
    """Kills a node when a run has noted so many evaluations, and has another one join.

    Notes, in `lost`, how many evaluations that were, and how many nodes there are afterwards.
    """

    def do() -> None:
        while (noted := lines_of(run)) < after:
            time.sleep(0.02)
        cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)
        lost.append(noted)
        cluster.add_node(num_cpus=1, object_store_memory=MEMORY)
        lost.append(len(cluster.list_all_nodes()))

    thread = threading.Thread(target=do, daemon=True)
    thread.start()
    return thread


def test_a_search_whose_node_is_lost_while_candidates_are_scored_has_the_history_of_one_process(
    cluster: Cluster, data: Path, tmp_path: Path, small: dict[str, Any]
) -> None:
    lost: list[int] = []
    loses = lose_a_node(cluster, tmp_path / "cluster", 6, lost)
    found = run_search(data, tmp_path / "cluster", progress=False, ray=cluster.address, workers=2, **small)
    loses.join(60)
    assert lost[1:] == [2]
    assert lost[0] < lines_of(tmp_path / "cluster")
    alone = run_search(data, tmp_path / "alone", progress=False, **small)
    histories = [without_seconds(history_of(tmp_path / run)) for run in ("cluster", "alone")]
    assert histories[0] == histories[1]
    assert found["best"] == alone["best"]


def test_a_search_whose_node_is_lost_while_candidates_are_trained_goes_on(
    cluster: Cluster, data: Path, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {
        "space": "lr,dnn,deepfm",
        "budget": "8c",
        "seed": 3,
        "final": {"epochs": 2, "evaluations": 1},
        "progress": False,
    }
    lost: list[int] = []
    loses = lose_a_node(cluster, tmp_path / "cluster", 2, lost)
    found = run_search(data, tmp_path / "cluster", ray=cluster.address, workers=2, **settings)
    loses.join(60)
    assert lost[1:] == [2]
    assert lost[0] < lines_of(tmp_path / "cluster")
    alone = run_search(data, tmp_path / "alone", **settings)
    assert [model["id"] for model in found["models"]] == [model["id"] for model in alone["models"]]
    assert found["best"] == alone["best"]
