"""Tensors that several processes hold in parts, or one holds whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed._shard.metadata import ShardMetadata
from torch.distributed._shard.sharded_tensor import ShardedTensor, ShardedTensorMetadata

from recnas.nn.processes import Processes


@dataclass(frozen=True)
class Divided:
    """A tensor whose parts lie in this process and others; what is changed here changes in the model.

    Attributes:
        source: TorchRec's own view of it, or a plain tensor that every process has; None where this one has no part.
        metadata: Says which process has which part; None for a plain tensor.
        processes: The processes that have the parts; None for a plain tensor.
    """

    source: Tensor | ShardedTensor | None
    metadata: ShardedTensorMetadata | None = None
    processes: Processes | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the whole tensor."""
        return tuple(self.source.shape if self.metadata is None else self.metadata.size)

    @property
    def parts(self) -> list[tuple[Tensor, tuple[slice, ...]]]:
        """This process's parts, and where in the whole each lies."""
        if self.source is None:
            return []
        if self.metadata is None:
            return [(self.source.detach(), tuple(slice(0, size) for size in self.shape))]
        return [(shard.tensor.detach(), _place(shard.metadata)) for shard in self.source.local_shards()]

    def whole(self) -> Tensor:
        """The whole, sharing memory with the model's.

        Raises:
            ValueError: This process does not hold it as one part.
        """
        parts = self.parts
        if len(parts) != 1 or tuple(parts[0][0].shape) != self.shape:
            raise ValueError("the table is split over several shards")
        return parts[0][0]

    @torch.no_grad()
    def copy_from(self, whole: Tensor) -> None:
        """Takes this process's parts over from the whole."""
        for part, place in self.parts:
            part.copy_(whole[place])

    def gather(self) -> Tensor | None:
        """The whole in the first process, None in the others; where there is one process only, its memory is shared.

        All processes call it at the same time.
        """
        if self.metadata is None or self.processes.alone:
            return self.whole()
        group, rank = self.processes.group, self.processes.rank
        owned = {} if self.source is None else {item.metadata: item.tensor for item in self.source.local_shards()}
        whole = torch.empty(self.shape) if self.processes.leads else None
        for shard in self.metadata.shards_metadata:
            owner = shard.placement.rank()
            if whole is None:
                if owner == rank:
                    dist.send(owned[shard].detach().contiguous(), group_dst=0, group=group)
                continue
            part = owned.get(shard)
            if part is None:
                part = torch.empty(shard.shard_sizes, device=self.processes.device)
                dist.recv(part, group_src=owner, group=group)
            whole[_place(shard)] = part.detach().cpu()
        return whole


def divided(tensors: Mapping[str, ShardedTensor], processes: Processes) -> dict[str, Divided]:
    """Tensors of which each process knows only those that it has a part of; all processes call it at the same time.

    Args:
        tensors: This process's parts, by name.
        processes: The processes that have the parts.

    Returns:
        All of them, by name, in the order of the names of the first process that has each.
    """
    known = {name: tensor.metadata() for name, tensor in tensors.items()}
    everywhere = [known] if processes.alone else processes.exchange(known)
    metadata = {name: item for one in everywhere for name, item in one.items()}
    return {name: Divided(tensors.get(name), metadata[name], processes) for name in metadata}


def _place(shard: ShardMetadata) -> tuple[slice, ...]:
    """The place of a part in the whole tensor."""
    return tuple(slice(start, start + size) for start, size in zip(shard.shard_offsets, shard.shard_sizes, strict=True))
