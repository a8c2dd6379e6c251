"""What is taken away: a finished model as a folder that can be served, evaluated and trained further."""

from recnas.export.further import ContinuedEnsemble, continue_training
from recnas.export.loading import evaluate_export, load
from recnas.export.mlflow_model import log_export
from recnas.export.program import program_inputs
from recnas.export.record import TrainingRecord
from recnas.export.run import export_run
from recnas.export.training import Continuation, Continued, export_checkpoint, is_checkpoint

__all__ = [
    "Continuation",
    "Continued",
    "ContinuedEnsemble",
    "TrainingRecord",
    "continue_training",
    "evaluate_export",
    "export_checkpoint",
    "export_run",
    "is_checkpoint",
    "load",
    "log_export",
    "program_inputs",
]
