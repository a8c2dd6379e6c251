"""What the tests share that need a CUDA device. Without one they are skipped, and say why: `make test-cuda`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
import torch

from tests.searches import data, small

__all__ = ["data", "small"]


@pytest.fixture(scope="session", autouse=True)
def device() -> torch.device:
    """The first CUDA device."""
    if not torch.cuda.is_available():
        pytest.skip("there is no CUDA device; `make test-cuda` on a machine that has one")
    return torch.device("cuda", torch.cuda.current_device())


@pytest.fixture(scope="session")
def computing_on() -> Callable[[torch.device], AbstractContextManager[None]]:
    """Has all of recnas take a device for its default one, in this process."""

    @contextmanager
    def compute(device: torch.device) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            for name, module in list(sys.modules.items()):
                if name.startswith("recnas.") and hasattr(module, "default_device"):
                    patch.setattr(module, "default_device", lambda: device)
            yield

    return compute
