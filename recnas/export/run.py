"""A finished run's best model, or another that it trained → an exported folder."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from recnas.candidates.candidate import Candidate
from recnas.candidates.evaluation import Quality
from recnas.candidates.network import BASELINE, Baseline, Network, load_network
from recnas.data import Dataset
from recnas.export.fit import check_finite, check_fits
from recnas.export.folder import (
    PROGRAM,
    check_formats,
    check_free,
    load,
    model_from,
    write_export,
)
from recnas.export.quantize import RoundedTable, rounded
from recnas.export.record import Quantization, Stage, TrainingRecord, optimization_from, quality
from recnas.features.schema import FILE_NAME as SCHEMA
from recnas.features.schema import Schema
from recnas.nn.model import CTRModel
from recnas.nn.networks import network_of
from recnas.runs.folder import CONFIG, RESULTS, check_finished, made_anew
from recnas.runs.results import read_results
from recnas.runs.settings import Settings
from recnas.runs.trained import weights_of
from recnas.train.loop import evaluate
from recnas.util.errors import InputError
from recnas.util.files import read_json, read_yaml
from recnas.util.user_code import from_file_name


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
    if (run / PROGRAM).is_file() and model is None:
        found, record = load(run), TrainingRecord.load(run)
        if record.quantization is not None:
            raise InputError(f"{run}: its tables are rounded already; export the model that it was made from")
    else:
        found, record, known = _read(run, model)
        data = data if data is not None or not (known / SCHEMA).is_file() else known
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
    before, tables = measured(), rounded(model.embeddings.tables())
    model.embeddings.load_tables({name: table.table() for name, table in tables.items()})
    name = None if dataset is None else dataset.name
    return tables, replace(record, quantization=Quantization(name, before=before, after=measured()))


def _read(run: Path, model: str | None) -> tuple[CTRModel, TrainingRecord, Path]:
    """A model of a run, how it was trained, and where its data set was."""
    check_finished(run)
    if not (run / CONFIG).is_file():
        raise InputError(f"{run / CONFIG}: no such file; without it nobody knows how the run's models were trained")
    remedy = made_anew(run)
    results = read_results(run, remedy)
    best, data = results.get("best"), (results.get("data") or {}).get("path")
    if best is None or data is None:
        raise InputError(f"{run / RESULTS}: no best model, or no path of its data; {remedy}")
    entry = _entry(run, results, best if model is None else model)
    weights, file = weights_of(run, entry["id"], entry.get("candidate"))
    if not (run / SCHEMA).is_file():
        raise InputError(f"{run / SCHEMA}: no such file; the data set's own is the same, copy it there")
    network = _network(run, entry, file, remedy)
    if not weights.is_file():
        raise InputError(f"{weights}: no such file; {remedy}")
    record = _record(run, results, entry)
    return model_from(network, Schema.load(run), weights), record, Path(data)


def _network(run: Path, entry: Mapping[str, Any], file: Path, remedy: str) -> Network:
    """What a trained model's network is, by the file beside its weights."""
    if entry["kind"] == BASELINE and not file.exists():
        # Runs of recnas 0.1 have none for a baseline.
        return Baseline(from_file_name(entry["id"]))
    if not file.is_file():
        raise InputError(f"{file}: no such file; {remedy}")
    try:
        network = Candidate.from_json(read_json(file)).network if entry.get("candidate") else load_network(file)
    except InputError as error:
        raise InputError(str(error) if str(file) in str(error) else f"{file}: {error}") from None
    if network.id != entry["id"]:
        raise InputError(f"{file}: this is {network.id}, not {entry['id']}; {remedy}")
    return network


def _entry(run: Path, results: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A model's entry of `results.json`; one that was dropped or diverged has no weights to take."""
    trained = {entry["id"]: entry for entry in results["models"] if entry.get("status") == "trained"}
    if name not in trained:
        raise InputError(f"{run / RESULTS}: no trained model {name!r} to export; there are {', '.join(trained)}")
    return trained[name]


def _record(run: Path, results: Mapping[str, Any], entry: Mapping[str, Any]) -> TrainingRecord:
    """How a model was trained, by its entry of `results.json` and the settings of final training."""
    config = run / "config.yaml"
    settings, rate = read_yaml(config), entry.get("learning_rate")
    final = settings.get("final")
    if not isinstance(final, dict) or not isinstance(final.get("optimization"), dict) or rate is None:
        reason = f"no {'learning_rate' if isinstance(final, dict) else 'final'}"
        raise InputError(f"{run}: results.json and config.yaml do not say how the model was trained ({reason})")
    try:
        optimization = optimization_from({**final["optimization"], "learning_rate": float(rate)})
    except InputError as error:
        raise InputError(f"{config}: final.optimization: {error}") from None
    stage = Stage(
        data=str(results["data"].get("name") or Path(results["data"]["path"]).name),
        epochs=entry.get("epoch", Settings.known_in(settings, str(config)).final.epochs),
        learning_rate=float(rate),
        validation=quality(entry.get("validation")),
        test=quality(entry.get("test")),
    )
    return TrainingRecord(optimization, (stage,))
