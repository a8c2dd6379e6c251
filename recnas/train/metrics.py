"""Log loss and AUC over a stream of batches, exact at any length."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from recnas.candidates.evaluation import Quality
from recnas.nn.processes import Processes


class Metrics:
    """Collects predictions batch by batch.

    The log loss is summed in double precision. The AUC needs the order of all scores, so logits (four bytes) and labels
    (one) are kept: 250 MB for 50 million rows.
    """

    def __init__(self) -> None:
        self._loss = 0.0
        self._logits: list[np.ndarray] = []
        self._labels: list[np.ndarray] = []

    def update(self, logits: Tensor, labels: Tensor) -> None:
        """Adds a batch: logits `[B]`, labels `[B]` of 0 and 1."""
        logits, labels = logits.detach().cpu(), labels.detach().cpu()
        self._loss += F.binary_cross_entropy_with_logits(logits.double(), labels.double(), reduction="sum").item()
        self._logits.append(logits.to(torch.float32).numpy())
        self._labels.append(labels.to(torch.int8).numpy())

    def add(self, other: Metrics) -> None:
        """Adds what another one has collected."""
        self._loss += other._loss
        self._logits += other._logits
        self._labels += other._labels

    def of_all(self, processes: Processes) -> Quality:
        """The figures over everything that all processes have added, in each of them; errors as in `compute`.

        They are exact: the first process is given all predictions.
        """
        first, *others = processes.collect(self) or [self]
        for other in others:
            first.add(other)
        return processes.first(first.compute)

    def log_loss(self) -> float:
        """The mean log loss over everything added so far."""
        return self._loss / sum(map(len, self._labels))

    def compute(self) -> Quality:
        """The figures over everything added so far.

        Raises:
            ValueError: Nothing was added, or labels of one class only.
        """
        if not self._labels:
            raise ValueError("no predictions were added")
        logits, labels = np.concatenate(self._logits), np.concatenate(self._labels)
        if labels.min() == labels.max():
            raise ValueError(f"every label is {labels[0]}; an AUC needs both classes")
        if not np.isfinite(self._loss):
            return Quality(float("nan"), float("nan"))
        # Importing scikit-learn takes longer than torch; processes that only score do without.
        from sklearn.metrics import roc_auc_score

        return Quality(self.log_loss(), float(roc_auc_score(labels, logits)))
