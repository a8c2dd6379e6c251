"""What every room's tests share."""

import os
import random
from collections.abc import Callable

import pytest
from hypothesis import settings

from recnas.cores import available_cores
from recnas.space import Architecture, SearchSpace

# Tests that run side by side share the cores out, processes that they start included; before anything imports torch.
if workers := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, available_cores() // int(workers))))

# Times vary with the machine; what CI draws does not.
settings.register_profile("recnas", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("recnas")


@pytest.fixture(scope="session")
def sample() -> Callable[..., list[Architecture]]:
    """Draws architectures of a named space, the same ones for a seed."""

    def draw(space: str, count: int, seed: int = 0) -> list[Architecture]:
        rng = random.Random(seed)
        return [SearchSpace.named(space).sample(rng) for _ in range(count)]

    return draw
