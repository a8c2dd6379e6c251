"""Encoded raw rows → a batch."""

import numpy as np
import torch
from torchrec.sparse.jagged_tensor import KeyedJaggedTensor

from recnas.data.batch import Batch
from recnas.features.encoding import Encoded
from recnas.features.schema import Schema


def batch_of(encoded: Encoded, schema: Schema) -> Batch:
    """The arguments of a model of `recnas.load` for rows that its schema encoded; their labels are 0.

    Args:
        encoded: The encoded rows.
        schema: The one that encoded them: `model.schema`.

    Example:
        probabilities = torch.sigmoid(model(batch_of(model.schema.encode(rows), model.schema)))
    """
    singles, lists = iter(encoded.ids.T), iter(encoded.lists)
    values, lengths = [], []
    for feature in schema.sparse:
        if feature.multi_valued:
            ids, offsets = next(lists)
            values.append(ids)
            lengths.append(np.diff(offsets))
        else:
            values.append(next(singles))
            lengths.append(np.ones(len(encoded), dtype=np.int64))
    sparse = KeyedJaggedTensor(
        [feature.name for feature in schema.sparse],
        torch.from_numpy(np.concatenate(values)),
        lengths=torch.from_numpy(np.concatenate(lengths)),
        stride=len(encoded),
    )
    return Batch(torch.from_numpy(encoded.dense), sparse, torch.zeros(len(encoded)))
