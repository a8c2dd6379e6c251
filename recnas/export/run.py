"""A finished run's best model, or another that it trained → an exported folder."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from recnas.candidates.evaluation import Quality
from recnas.candidates.network import load_network
from recnas.data import Dataset
from recnas.export.fit import check_finite, check_fits
from recnas.export.folder import (
    ARCHITECTURE,
    PROGRAM,
    check_formats,
    check_free,
    load,
    model_from,
    write_export,
)
from recnas.export.quantize import RoundedTable, rounded
from recnas.export.record import Quantization, Stage, TrainingRecord, quality
from recnas.export.trees import check_trees_export, is_tree_export, write_trees
from recnas.features.schema import FILE_NAME as SCHEMA
from recnas.features.schema import Schema
from recnas.nn.model import CTRModel
from recnas.nn.networks import network_of
from recnas.runs.finished_model import FinishedModel, finished_model
from recnas.train.loop import evaluate
from recnas.util.errors import InputError


def export_run(
    run: str | Path,
    output: str | Path,
    overwrite: bool = False,
    model: str | None = None,
    *,
    formats: Collection[str] = (),
    quantize: bool = False,
    data: str | Path | None = None,
) -> Path:
    """Writes a trained model of a run as a folder that can be served, evaluated and trained further.

    Args:
        run: A finished run's folder, or a folder that was exported before.
        output: The folder to make; it appears when complete.
        overwrite: Replace an exported model of that name.
        model: The id of a searched model that was trained in the end, or a baseline's name; None for the best on
            validation, whichever that is.
        formats: `onnx`, `torchrec`: what is written besides the `torch.export` program.
        quantize: Round the tables to 8 bits. What this does to log loss and AUC is measured on the test rows.
        data: The data set to measure it on; None: the run's, if it is still there.

    Returns:
        `output`.

    Raises:
        InputError: The run is not finished or damaged or has no such model, a format cannot be had of it, or something
            is at `output` already.
        RunError: The disk is full.

    Example:
        export_run("runs/criteo", "models/criteo")
    """
    run, output = Path(run), Path(output)
    check_free(output, overwrite)
    check_formats(formats, quantize)
    if data is not None and not quantize:
        raise InputError("--data is where the loss by --quantize is measured; without that it has no use")
    if model is None and is_tree_export(run):
        network = load_network(run / ARCHITECTURE)
        check_trees_export(network, formats, quantize)
        return write_trees(output, run, network, Schema.load(run), TrainingRecord.load(run), overwrite)
    if (run / PROGRAM).is_file() and model is None:
        found, record = load(run), TrainingRecord.load(run)
        if record.quantization is not None:
            raise InputError(f"{run}: its tables are rounded already; export the model that it was made from")
    else:
        known, record = _read(run, model)
        if known.recipe is None:
            check_trees_export(known.network, formats, quantize)
            return write_trees(output, known.weights.parent, known.network, known.schema, record, overwrite)
        found = model_from(known.network, known.schema, known.weights)
        data = data if data is not None or not (known.data / SCHEMA).is_file() else known.data
    check_formats(formats, quantize, network_of(found.network))
    tables = None
    if quantize:
        tables, record = _round(found, record, None if data is None else Path(data), run)
    return write_export(output, found, record, overwrite, formats, tables)


def _round(
    model: CTRModel, record: TrainingRecord, data: Path | None, source: Path
) -> tuple[dict[str, RoundedTable], TrainingRecord]:
    """Rounds a model's tables, in it too, and measures what that does if there is a data set."""

    def measured() -> Quality | None:
        if dataset is None:
            return None
        quality = evaluate(model, dataset, Quantization.split)
        check_finite(quality, source, Quantization.split)
        return quality

    dataset = None if data is None else Dataset(data, needed=(Quantization.split,))
    if dataset is not None:
        check_fits(model.schema, dataset, source)
        dataset = dataset.fed(model.schema)
    before, tables = measured(), rounded(model.embeddings.tables())
    model.embeddings.load_tables({name: table.table() for name, table in tables.items()})
    name = None if dataset is None else dataset.name
    return tables, replace(record, quantization=Quantization(name, before=before, after=measured()))


def _read(run: Path, model: str | None) -> tuple[FinishedModel, TrainingRecord]:
    """A model of a run, and how it was trained."""
    found = finished_model(run, model)
    stage = Stage(
        data=found.data_name,
        epochs=found.epochs,
        learning_rate=found.learning_rate,
        validation=quality(found.validation),
        test=quality(found.test),
    )
    return found, TrainingRecord(found.recipe, (stage,))
