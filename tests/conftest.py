"""What every room's tests share."""

import gc
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

from recnas.space import Architecture, SearchSpace
from recnas.util.cores import available_cores

# Tests that run side by side share the cores out, processes that they start included; before anything imports torch.
if workers := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, available_cores() // int(workers))))

# Tests tell nobody that MLflow is used; it looks when it is imported.
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"

# Times vary with the machine; what CI draws does not.
settings.register_profile("recnas", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("recnas")


LONGEST = (
    "search/test_resume.py",
    "execution/test_ray_workers.py",
    "export/test_several_processes.py",
    "search/test_run.py",
    "study/test_study.py",
    "benchmarks/test_rivals.py",
    "execution/test_torchrun.py",
    "search/test_final_training.py",
)
"""The files whose tests take longest: with them first, no core waits at the end for another."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the longest files first; the others stay in their order."""
    places = {Path(__file__).parent / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(LONGEST)))


def pytest_collection_finish() -> None:
    """Sets what has been imported aside: each training ends with a full collection, which would go through it."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def sample() -> Callable[..., list[Architecture]]:
    """Draws architectures of a named space, the same ones for a seed."""

    def draw(space: str, count: int, seed: int = 0) -> list[Architecture]:
        rng = random.Random(seed)
        return [SearchSpace.named(space).sample(rng) for _ in range(count)]

    return draw


@pytest.fixture(scope="session")
def mlflow_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mlflow")


@pytest.fixture
def _mlflow(mlflow_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow in a folder of its own."""
    for name in os.environ:
        if name.startswith("MLFLOW_") and name != "MLFLOW_DISABLE_TELEMETRY":
            monkeypatch.delenv(name)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{mlflow_folder}/mlflow.db")
    # Artifacts go to the working directory.
    monkeypatch.chdir(mlflow_folder)
