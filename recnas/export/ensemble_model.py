"""An ensemble of trained models as one model.

Sizes: B rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recnas.data import Batch, Dataset, batch_of
from recnas.features.schema import Schema
from recnas.nn.model import CTRModel
from recnas.train.metrics import Measured, Metrics
from recnas.trees.model import TreeModel
from recnas.trees.module import TreeModule


class EnsembleModel(nn.Module):
    """Predicts the weighted mean of the probabilities that its members predict.

    Args:
        schema: The features of a data set for it, of which each member is fed what its own schema says.
        members: Models in evaluation mode; trees may be among them, as `TreeModule` where a program is made of it.
        weights: The share of each; their sum is 1.
        inputs: What each is fed, by a number from 0; see `EnsembleFile`.

    Attributes:
        schemas: What members are fed, by that number.
    """

    def __init__(
        self,
        schema: Schema,
        members: Sequence[CTRModel | TreeModel | TreeModule],
        weights: Sequence[float],
        inputs: Sequence[int],
    ) -> None:
        super().__init__()
        self.schema, self.members = schema, list(members)
        self.weights, self.inputs = tuple(weights), tuple(inputs)
        self.schemas = [self.members[self.inputs.index(number)].schema for number in range(len(set(self.inputs)))]
        self.networks = nn.ModuleList(member for member in members if isinstance(member, CTRModel))

    def forward(self, *batches: Batch) -> Tensor:
        """Logits `[B]` float64; `torch.sigmoid` of them are the click probabilities.

        Args:
            batches: The same rows as each of `schemas` has them, in their order.
        """
        device = batches[0].dense.device
        # Trees compute on the CPU.
        members = zip(self.members, self.inputs, strict=True)
        logits = torch.stack([member(batches[fed]).double().to(device) for member, fed in members])
        shares = torch.tensor(self.weights, dtype=torch.float64, device=device).log().unsqueeze(1)
        # Exact however close to 0 or 1 the probabilities are.
        return torch.logsumexp(shares + F.logsigmoid(logits), 0) - torch.logsumexp(shares + F.logsigmoid(-logits), 0)

    @torch.inference_mode()
    def predict(self, rows: Any) -> np.ndarray:
        """Click probabilities `[B]` of raw rows, as `Schema.encode` takes them.

        Raises:
            InputError: A value cannot be read.
        """
        batches = (batch_of(schema.encode(rows), schema).to(self.device) for schema in self.schemas)
        return torch.sigmoid(self(*batches)).cpu().numpy()

    @torch.no_grad()
    def measure(self, dataset: Dataset, split: str, batch_size: int = 4096) -> Measured:
        """Log loss, AUC and logits over a whole split of a data set with the features of `schema`."""
        metrics = Metrics()
        for batches in zip(*(dataset.fed(schema).batches(split, batch_size) for schema in self.schemas), strict=True):
            metrics.update(self(*(batch.to(self.device) for batch in batches)), batches[0].label)
        return metrics.of_all()

    @property
    def device(self) -> torch.device:
        """The one that its networks compute on."""
        return next((parameter.device for parameter in self.parameters()), torch.device("cpu"))
