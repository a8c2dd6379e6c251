"""A data set on disk → batches."""

from recnas.data.batch import Batch
from recnas.data.batches import Batches
from recnas.data.dataset import Dataset
from recnas.data.describe import describe
from recnas.data.encoded import batch_of
from recnas.data.fitting import fit_inputs

__all__ = ["Batch", "Batches", "Dataset", "batch_of", "describe", "fit_inputs"]
