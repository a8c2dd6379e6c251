"""A finished run's ensemble, its best model, or another that it trained → an exported folder."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

from recnas.candidates.evaluation import Quality
from recnas.candidates.network import Baseline, load_network
from recnas.data import Dataset
from recnas.export.ensemble import (
    ExportedEnsemble,
    Member,
    NetworkMember,
    TreesMember,
    check_ensemble_formats,
    read_ensemble,
    write_ensemble,
)
from recnas.export.ensemble_model import EnsembleModel
from recnas.export.folder import ARCHITECTURE, WEIGHTS, check_formats, check_free, load_single, model_from, write_export
from recnas.export.loading import evaluate_model
from recnas.export.quantize import RoundedTable, rounded
from recnas.export.record import Quantization, Stage, TrainingRecord, quality
from recnas.export.trees import check_trees_export, is_tree_export, write_trees
from recnas.features.ensemble_file import MEMBERS, is_ensemble
from recnas.features.schema import FILE_NAME as SCHEMA
from recnas.features.schema import Schema
from recnas.nn.model import CTRModel
from recnas.nn.networks import embedding_dim, network_of
from recnas.runs.finished_model import FinishedModel, finished_ensemble, finished_model
from recnas.util.errors import InputError


def export_run(
    run: str | Path,
    output: str | Path,
    overwrite: bool = False,
    model: str | None = None,
    *,
    single: bool = False,
    formats: Collection[str] = (),
    quantize: bool = False,
    data: str | Path | None = None,
) -> Path:
    """Writes what a run has found as a folder that can be served, evaluated and trained further.

    Args:
        run: A finished run's folder, or a folder that was exported before.
        output: The folder to make; it appears when complete.
        overwrite: Replace an exported model of that name.
        model: The id of a searched model that was trained in the end, a baseline's name, or the id of a member of the
            ensemble; None for the ensemble, or where there is none the best model on validation, whichever that is.
        single: Take the best model where there is an ensemble, too.
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
    run = Path(run)
    wanted = _Wanted(run, Path(output), overwrite, formats, quantize, data)
    check_free(wanted.output, overwrite)
    check_formats(formats, quantize)
    if data is not None and not quantize:
        raise InputError("--data is where the loss by --quantize is measured; without that it has no use")
    if single and model is not None:
        raise InputError(f"--single is the best model, and --model {model} another; leave one of them out")
    if is_ensemble(run):
        if single or model is not None:
            raise InputError(f"{run}: an exported ensemble; its members are models of their own, in {run / MEMBERS}")
        return _export_ensemble(read_ensemble(run), wanted)
    if model is None and (run / ARCHITECTURE).is_file() and (is_tree_export(run) or (run / WEIGHTS).is_file()):
        return _export_again(wanted)
    if not single and model is None and (found := finished_ensemble(run)) is not None:
        first = found.members[0]
        stage = Stage(first.data_name, None, None, quality(found.validation), quality(found.test))
        members = tuple(_member(item) for item in found.members)
        ensemble = ExportedEnsemble(found.schema, members, found.weights, TrainingRecord(None, (stage,)))
        return _export_ensemble(ensemble, wanted.measured_on(first))
    known = finished_model(run, model)
    record = _record(known)
    if known.recipe is None:
        return _export_trees(known.weights.parent, known.network, known.schema, record, wanted)
    return _export_network(model_from(known.network, known.schema, known.weights), record, wanted.measured_on(known))


@dataclass(frozen=True)
class _Wanted:
    """What is to be written, and where; see `export_run`.

    Attributes:
        source: The run, or what was exported before.
    """

    source: Path
    output: Path
    overwrite: bool
    formats: Collection[str]
    quantize: bool
    data: str | Path | None

    def measured_on(self, found: FinishedModel) -> _Wanted:
        """The same, measured on the data set of a model's run where no other is given and that is still there."""
        is_there = self.data is None and (found.data / SCHEMA).is_file()
        return replace(self, data=found.data) if is_there else self


def _export_again(wanted: _Wanted) -> Path:
    """Writes an exported single model in other forms."""
    folder = wanted.source
    record = TrainingRecord.load(folder)
    if is_tree_export(folder):
        return _export_trees(folder, load_network(folder / ARCHITECTURE), Schema.load(folder), record, wanted)
    _check_not_rounded(folder, record)
    return _export_network(load_single(folder), record, wanted)


def _export_trees(source: Path, network: Baseline, schema: Schema, record: TrainingRecord, wanted: _Wanted) -> Path:
    check_trees_export(network, wanted.formats, wanted.quantize)
    return write_trees(wanted.output, source, network, schema, record, wanted.overwrite, wanted.formats)


def _export_network(model: CTRModel, record: TrainingRecord, wanted: _Wanted) -> Path:
    check_formats(wanted.formats, wanted.quantize, network_of(model.network))
    tables = None
    if wanted.quantize:
        (tables,), quantization = _round(model, [model], wanted)
        record = replace(record, quantization=quantization)
    return write_export(wanted.output, model, record, wanted.overwrite, wanted.formats, tables)


def _export_ensemble(ensemble: ExportedEnsemble, wanted: _Wanted) -> Path:
    _check_not_rounded(wanted.source, ensemble.record)
    check_ensemble_formats(ensemble, wanted.formats, wanted.quantize)
    if wanted.quantize:
        models = [member.model for member in ensemble.networks]
        tables, quantization = _round(ensemble.model, models, wanted)
        found = iter(tables)
        members = tuple(
            replace(item, rounded=next(found)) if isinstance(item, NetworkMember) else item for item in ensemble.members
        )
        ensemble = replace(ensemble, members=members, record=replace(ensemble.record, quantization=quantization))
    return write_ensemble(wanted.output, ensemble, wanted.overwrite, wanted.formats)


def _round(
    whole: CTRModel | EnsembleModel, models: Collection[CTRModel], wanted: _Wanted
) -> tuple[list[dict[str, RoundedTable] | None], Quantization]:
    """Rounds the tables of models, in them too, and measures what that does if there is a data set.

    Args:
        whole: What is measured: the only model, or the ensemble of them.
        models: Those whose tables are rounded; one without tables has None.
        wanted: Names the data set.
    """
    dataset = None if wanted.data is None else Dataset(wanted.data, needed=(Quantization.split,))

    def measured() -> Quality | None:
        return None if dataset is None else evaluate_model(whole, dataset, Quantization.split, wanted.source)

    before, found = measured(), []
    for model in models:
        if not embedding_dim(network_of(model.network)):
            found.append(None)
            continue
        tables = rounded(model.embeddings.tables())
        model.embeddings.load_tables({name: table.table() for name, table in tables.items()})
        found.append(tables)
    return found, Quantization(None if dataset is None else dataset.name, before=before, after=measured())


def _check_not_rounded(source: Path, record: TrainingRecord) -> None:
    if record.quantization is not None:
        raise InputError(f"{source}: its tables are rounded already; export the model that it was made from")


def _member(found: FinishedModel) -> Member:
    record = _record(found)
    if found.recipe is None:
        return TreesMember(found.weights.parent, found.network, found.schema, record)
    return NetworkMember(model_from(found.network, found.schema, found.weights), record)


def _record(found: FinishedModel) -> TrainingRecord:
    """How a model of a run was trained."""
    stage = Stage(
        data=found.data_name,
        epochs=found.epochs,
        learning_rate=found.learning_rate,
        validation=quality(found.validation),
        test=quality(found.test),
    )
    return TrainingRecord(found.recipe, (stage,))
