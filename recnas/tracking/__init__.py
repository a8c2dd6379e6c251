"""Runs in the trackers that people already look at, MLflow and TensorBoard, made from what a run writes down."""

from recnas.tracking.follow import TRACKERS, check_trackers, tracked

__all__ = ["TRACKERS", "check_trackers", "tracked"]
