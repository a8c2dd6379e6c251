"""A finished run's best model, or another that it found → an exported folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recnas.errors import InputError
from recnas.export.folder import ARCHITECTURE, WEIGHTS, check_free, read_model, write_export
from recnas.export.record import Stage, TrainingRecord, optimization_from, quality
from recnas.files import read_json, read_yaml
from recnas.schema import FILE_NAME as SCHEMA
from recnas.schema import Schema
from recnas.space import Architecture

RETRAIN = "retrain"
"""The folder of a run in which each of the best candidates has its own."""


def export_run(run: str | Path, output: str | Path, overwrite: bool = False, model: str | None = None) -> Path:
    """Writes a found model of a run as a folder that can be served, evaluated and trained further.

    Args:
        run: A finished run's folder.
        output: The folder to make; it appears when complete.
        overwrite: Replace an exported model of that name.
        model: The id of a model that was trained in the end; None for the best.

    Returns:
        `output`.

    Raises:
        InputError: The run is not finished or damaged or has no such model, or something is at `output` already.
        RunError: The disk is full.

    Example:
        export_run("runs/criteo", "models/criteo")
    """
    run, output = Path(run), Path(output)
    check_free(output, overwrite)
    if not run.is_dir():
        raise InputError(f"{run}: no such run folder; `recnas search --run {run}` makes one")
    remedy = f"`recnas search --run {run} --overwrite`, with the settings it began with, makes the run anew"
    results = read_json(run / "results.json", remedy)
    best = results.get("best")
    if not isinstance(best, str):
        raise InputError(f"{run / 'results.json'}: no best model; {remedy}")
    chosen = best if model is None else model
    entry = _entry(run, results, chosen)
    architecture, weights = run / RETRAIN / chosen / ARCHITECTURE, run / RETRAIN / chosen / WEIGHTS
    for file in (architecture, run / SCHEMA, run / "config.yaml", weights):
        if not file.is_file():
            raise InputError(f"{file}: no such file; {remedy}")
    if (found := Architecture.load(architecture).id) != chosen:
        raise InputError(f"{architecture}: this is {found}, not {chosen}; {remedy}")
    record = _record(run, results, entry)
    return write_export(output, read_model(architecture, Schema.load(run), weights), record, overwrite)


def _entry(run: Path, results: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A found model's entry of `results.json`; one that was dropped or diverged has no weights to take."""
    try:
        found = {
            entry["id"]: entry
            for entry in results["models"]
            if entry["kind"] == "found" and entry["status"] == "trained"
        }
    except (KeyError, TypeError) as error:
        raise InputError(f"{run / 'results.json'}: damaged ({error!r})") from None
    if name not in found:
        raise InputError(f"{run / 'results.json'}: no found model {name!r} to export; there are {', '.join(found)}")
    return found[name]


def _record(run: Path, results: Mapping[str, Any], entry: Mapping[str, Any]) -> TrainingRecord:
    """How a model was trained, by its entry of `results.json` and the settings of final training."""
    settings = read_yaml(run / "config.yaml")
    try:
        final = settings["final"]
        stage = Stage(
            data=str(results["data"].get("name") or Path(results["data"]["path"]).name),
            epochs=entry.get("epoch", final.get("epochs")),
            learning_rate=float(entry["learning_rate"]),
            validation=quality(entry.get("validation")),
            test=quality(entry.get("test")),
        )
        optimization = optimization_from({**final["optimization"], "learning_rate": stage.learning_rate})
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise InputError(
            f"{run}: results.json and config.yaml do not say how the model was trained ({reason})"
        ) from None
    except InputError as error:
        raise InputError(f"{run / 'config.yaml'}: final.optimization: {error}") from None
    return TrainingRecord(optimization, (stage,))
