"""A data set on disk → batches."""

from recnas.data.batch import Batch
from recnas.data.batches import Batches
from recnas.data.dataset import Dataset
from recnas.data.describe import describe
from recnas.data.encoded import batch_of
from recnas.data.feature_gains import feature_gains
from recnas.data.fitting import fit_inputs
from recnas.data.joint_evidence import ProposedCross, propose_crosses

__all__ = [
    "Batch",
    "Batches",
    "Dataset",
    "ProposedCross",
    "batch_of",
    "describe",
    "feature_gains",
    "fit_inputs",
    "propose_crosses",
]
