"""Where a study keeps what, and the names of its stages. Needs no torch."""

from __future__ import annotations

from pathlib import Path

SCORES = "scores.jsonl"
CANDIDATES_CSV, AGREEMENT_CSV, MARKDOWN = "candidates.csv", "agreement.csv", "study.md"
TRAINING = "training"
RESULT = "result.json"
"""In a trained candidate's folder."""


def warmup_folder(run: Path | str, amount: float) -> Path:
    """Of one amount of warm-up."""
    return Path(run) / "warmups" / f"{amount:g}"


def training_folder(run: Path | str, seed: int) -> Path:
    """Of all architectures' trainings with one of the study's seeds."""
    return Path(run) / "trainings" / str(seed)


def warmup_stage(amount: float) -> str:
    """The name of the supernet's training."""
    return f"warm-up {amount:g}"


def scoring_stage(amount: float) -> str:
    """The name of the scoring after it."""
    return f"scoring after warm-up {amount:g}"
