"""DeepCTR-Torch's models and its `fit`; it has no DLRM, and takes numbers as columns."""

from __future__ import annotations

import numpy as np
import torch
from deepctr_torch.inputs import DenseFeat, SparseFeat
from deepctr_torch.models import DCN, DeepFM, basemodel

from trainers.case import (
    CROSS_LAYERS,
    DCN_HIDDEN,
    DEEPFM_HIDDEN,
    DIM,
    LEARNING_RATE,
    Case,
    Clock,
    Log,
    count_macs,
)


def train(case: Case, log: Log, clock: Clock) -> None:
    dense, ids = log.dense, log.ids
    numbers = [DenseFeat(f"I{place}") for place in range(dense.shape[1])]
    columns = [SparseFeat(f"C{place}", size, DIM) for place, size in enumerate(log.tables)] + numbers
    shared = {"l2_reg_linear": 0, "l2_reg_embedding": case.penalty / 2, "dnn_dropout": case.dropout}
    if case.model == "deepfm":
        model = DeepFM(columns, columns, True, DEEPFM_HIDDEN, **shared)
    else:
        model = DCN([], columns, CROSS_LAYERS, "matrix", DCN_HIDDEN, l2_reg_cross=0, **shared)
    kind = torch.optim.Adam if case.optimizer == "adam" else torch.optim.Adagrad
    model.compile(kind(model.parameters(), lr=LEARNING_RATE), "binary_crossentropy")
    values = np.concatenate([ids.astype(np.float32), dense], axis=1)
    clock.macs = count_macs(lambda: model(torch.from_numpy(values[:8])), 8)
    whole = len(values) // case.batch_size * case.batch_size
    loader = basemodel.DataLoader

    class Timed(loader):
        """What `fit` takes batches from."""

        def __iter__(self):
            return clock.over(super().__iter__(), case.batch_size)

    basemodel.DataLoader = Timed
    while True:
        model.fit([values[:whole]], log.label[:whole], batch_size=case.batch_size, verbose=0)
