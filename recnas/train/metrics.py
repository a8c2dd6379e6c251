"""Log loss and AUC over a stream of batches, exact at any length."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from recnas.candidates.evaluation import Quality
from recnas.nn.processes import Processes


@dataclass(frozen=True)
class Measured:
    """How well a model predicts rows, and what it predicts of them.

    Attributes:
        quality: The figures.
        logits: `[N]` float32, in the order of the rows. Of several processes the first one has them, the others none.
    """

    quality: Quality
    logits: np.ndarray


def quality_of(logits: np.ndarray, labels: np.ndarray) -> Quality:
    """Log loss and AUC of logits `[N]` for labels `[N]` of 0 and 1; errors as in `Metrics.compute`."""
    metrics = Metrics()
    metrics.update(torch.tensor(logits), torch.tensor(labels))
    return metrics.compute()


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

    def of_all(self, processes: Processes | None = None) -> Measured:
        """What all processes have added, each its share of the rows of the same batches; errors as in `compute`.

        The figures are exact: the first process is given all predictions.

        Args:
            processes: That call it at the same time; None: this one alone.
        """
        if processes is None:
            return Measured(self.compute(), self.logits)
        whole = Metrics()
        if shares := processes.collect(self):
            whole._loss = sum(share._loss for share in shares)
            # A batch's rows are shared out in the order of the processes.
            whole._logits = list(chain(*zip(*(share._logits for share in shares), strict=True)))
            whole._labels = list(chain(*zip(*(share._labels for share in shares), strict=True)))
        return Measured(processes.first(whole.compute), whole.logits)

    @property
    def logits(self) -> np.ndarray:
        """Those added so far, `[N]` float32."""
        return np.concatenate(self._logits) if self._logits else np.empty(0, dtype=np.float32)

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
        labels = np.concatenate(self._labels)
        if labels.min() == labels.max():
            raise ValueError(f"every label is {labels[0]}; an AUC needs both classes")
        if not np.isfinite(self._loss):
            return Quality(float("nan"), float("nan"))
        # Importing scikit-learn takes longer than torch; processes that only score do without.
        from sklearn.metrics import roc_auc_score

        return Quality(self.log_loss(), float(roc_auc_score(labels, self.logits)))
