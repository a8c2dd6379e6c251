"""Tensors that several processes hold in parts, or one holds whole."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed._shard.metadata import ShardMetadata
from torch.distributed._shard.sharded_tensor import ShardedTensor


@dataclass(frozen=True)
class Divided:
    """A tensor whose parts lie in this process and others; what is changed here changes in the model.

    Attributes:
        source: TorchRec's own view of it, or a plain tensor that every process holds whole.
    """

    source: Tensor | ShardedTensor

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the whole."""
        return tuple(self.source.metadata().size if isinstance(self.source, ShardedTensor) else self.source.shape)

    @property
    def parts(self) -> list[tuple[Tensor, tuple[slice, ...]]]:
        """This process's parts, and where in the whole each lies."""
        if not isinstance(self.source, ShardedTensor):
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
        if not isinstance(self.source, ShardedTensor):
            return self.source.detach()
        group = self.source._process_group
        if group.size() == 1:
            return self.whole()
        owned = {shard.metadata: shard.tensor.detach() for shard in self.source.local_shards()}
        whole = torch.empty(self.shape) if group.rank() == 0 else None
        for shard in self.source.metadata().shards_metadata:
            owner = shard.placement.rank()
            if whole is None:
                if owner == group.rank():
                    dist.send(owned[shard].contiguous(), group_dst=0, group=group)
                continue
            part = owned.get(shard)
            if part is None:
                part = torch.empty(shard.shard_sizes, device=shard.placement.device())
                dist.recv(part, group_src=owner, group=group)
            whole[_place(shard)] = part.cpu()
        return whole


def _place(shard: ShardMetadata) -> tuple[slice, ...]:
    """Where in the whole a part lies."""
    return tuple(slice(start, start + size) for start, size in zip(shard.shard_offsets, shard.shard_sizes, strict=True))
