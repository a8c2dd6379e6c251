"""What the tests share that need a CUDA device. Without one they are skipped, and say why: `make test-cuda`."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress

import pytest
import torch

import recnas
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
    # What is loaded while a device is set would keep it.
    for module in pkgutil.walk_packages(recnas.__path__, "recnas."):
        if not module.name.startswith(("recnas.cli", "recnas.tracking", "recnas.__main__")):
            with suppress(ImportError):
                importlib.import_module(module.name)

    @contextmanager
    def compute(device: torch.device) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            for name, module in list(sys.modules.items()):
                if name.startswith("recnas.") and hasattr(module, "default_device"):
                    patch.setattr(module, "default_device", lambda: device)
            yield

    return compute
