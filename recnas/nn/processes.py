"""The processes that train one model together: those that `torchrun` started, or this one alone."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

T = TypeVar("T")

PATIENCE = timedelta(days=30)
"""How long processes with nothing to do wait for the first one's next word; one that is gone is noticed at once."""


@dataclass(frozen=True)
class Processes:
    """Several processes, of each of which one object stands for all; all of them call its methods at the same time.

    Attributes:
        group: The process group that tensors are exchanged in: NCCL for CUDA devices, gloo for CPUs.
        control: The process group that plain Python values are exchanged in, always by CPU.
        device: The device that this process computes on.
    """

    group: dist.ProcessGroup
    control: dist.ProcessGroup
    device: torch.device

    @property
    def size(self) -> int:
        """The number of processes."""
        return dist.get_world_size(self.group)

    @property
    def rank(self) -> int:
        """The number of this process among them, from 0."""
        return dist.get_rank(self.group)

    @property
    def alone(self) -> bool:
        return self.size == 1

    @property
    def leads(self) -> bool:
        """Whether this is the one that writes files and shows progress."""
        return self.rank == 0

    def sum(self, tensor: Tensor) -> Tensor:
        """Replaces a tensor of every process by the sum of all, in place."""
        if not self.alone:
            dist.all_reduce(tensor, group=self.group)
        return tensor

    def start_mean(self, value: Tensor) -> Callable[[], float]:
        """Begins to exchange a number of every process; gives a function that waits for the mean of all.

        Exchanges of others may be begun before it is waited for.
        """
        if self.alone:
            return value.item
        total = value.detach().double()
        under_way = dist.all_reduce(total, group=self.group, async_op=True)

        def mean() -> float:
            under_way.wait()
            return total.item() / self.size

        return mean

    def first(self, function: Callable[[], T]) -> T:
        """What a function gives in the first process, in all of them; what it raises there, all of them raise."""
        if self.alone:
            return function()
        box: list[Any] = [None, None]
        if self.leads:
            try:
                box[0] = function()
            except Exception as error:
                box[1] = error
        dist.broadcast_object_list(box, group_src=0, group=self.control)
        value, error = box
        if error is not None:
            raise shared(error)
        return value

    def collect(self, value: Any) -> list[Any]:
        """What every process says, by rank, in the first one; an empty list in the others."""
        if self.alone:
            return [value]
        box = [None] * self.size if self.leads else None
        dist.gather_object(value, box, group_dst=0, group=self.control)
        return box or []

    def exchange(self, value: Any) -> list[Any]:
        """What every process says, by rank, in all of them."""
        box = [None] * self.size
        dist.all_gather_object(box, value, group=self.control)
        return box


def shared(error: Exception) -> Exception:
    """Marks an error that all processes raise, so that one of them prints it for all."""
    error.all_raised = True
    return error


def all_raised(error: BaseException) -> bool:
    """Whether all processes raise this error."""
    return getattr(error, "all_raised", False)


def num_started() -> int:
    """How many processes `torchrun` has started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def leave_torchrun() -> None:
    """Makes a process that one of `torchrun`'s has started forget that, as it is none of them."""
    for name in ("WORLD_SIZE", "RANK", "LOCAL_WORLD_SIZE", "LOCAL_RANK"):
        os.environ.pop(name, None)


def all_processes(device: torch.device | str) -> Processes:
    """Joins all processes that `torchrun` started, or, without it, makes a group of this one alone.

    Args:
        device: The device that this process computes on.
    """
    _join(torch.device(device))
    known = _known.get("all")
    if known is None:
        world = dist.GroupMember.WORLD
        single = dist.get_world_size() == 1
        control = world if single else dist.new_group(timeout=PATIENCE, backend="gloo")
        known = Processes(world, control, torch.device(device))
        _known["all"] = known
    return known


def this_process(device: torch.device | str) -> Processes:
    """This process alone, whatever `torchrun` started."""
    _join(torch.device(device))
    if dist.get_world_size() == 1:
        return all_processes(device)
    known = _known.get("this")
    if known is None:
        rank = [dist.get_rank()]
        known = Processes(
            dist.new_group(rank, use_local_synchronization=True),
            dist.new_group(rank, use_local_synchronization=True, backend="gloo"),
            torch.device(device),
        )
        _known["this"] = known
    return known


_known: dict[str, Processes] = {}


def _join(device: torch.device) -> None:
    if dist.is_initialized():
        return
    _known.clear()
    backend = "nccl" if device.type == "cuda" else "gloo"
    if "WORLD_SIZE" in os.environ and "RANK" in os.environ:
        dist.init_process_group(backend)
    else:
        # A store inside the process: no port is opened.
        dist.init_process_group(backend, store=dist.HashStore(), rank=0, world_size=1)
