"""The examples that a model is given at one step."""

from dataclasses import dataclass

import torch
from torchrec.sparse.jagged_tensor import KeyedJaggedTensor


@dataclass
class Batch:
    """B examples. Sizes: B examples, d₀ dense features, n₀ sparse features.

    Args:
        dense: `[B, d₀]` float32, transformed; one constant zero when the data set has no dense feature.
        sparse: n₀ keys in the schema's order; values are int64 table rows. A single-valued feature has exactly one
            id per example, a multi-valued one its list, and `[0]`, the missing value's row, for an empty list.
        label: The labels, `[B]` float32, 0 or 1.
        rows_of_step: How many examples all processes have at this step together; None: this one is alone.
    """

    dense: torch.Tensor
    sparse: KeyedJaggedTensor
    label: torch.Tensor
    rows_of_step: int | None = None

    def __len__(self) -> int:
        return len(self.label)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "Batch":
        """The same batch on another device."""
        device = torch.device(device)
        return Batch(
            self.dense.to(device, non_blocking=non_blocking),
            self.sparse.to(device, non_blocking=non_blocking),
            self.label.to(device, non_blocking=non_blocking),
            self.rows_of_step,
        )

    def pin_memory(self) -> "Batch":
        """The same batch in page-locked memory, from which a copy to a GPU can overlap with computing."""
        return Batch(self.dense.pin_memory(), self.sparse.pin_memory(), self.label.pin_memory(), self.rows_of_step)

    def record_stream(self, stream: torch.Stream) -> None:
        """Keeps the tensors' memory until `stream` has used them; TorchRec's pipelines call it."""
        self.dense.record_stream(stream)
        self.sparse.record_stream(stream)
        self.label.record_stream(stream)
