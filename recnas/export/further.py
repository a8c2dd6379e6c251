"""Training an exported model further: a single one, or an ensemble, each of whose members goes on by its own recipe."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from recnas.candidates.evaluation import Quality
from recnas.candidates.network import are_trees, load_network
from recnas.data import Dataset
from recnas.export.ensemble import load_ensemble, read_ensemble, write_ensemble
from recnas.export.folder import ARCHITECTURE, check_free, new_folder, write_model
from recnas.export.loading import evaluate_model
from recnas.export.record import Stage, TrainingRecord
from recnas.export.training import Continuation, Continued, continue_single, digest, ended_before, only_trees
from recnas.features.ensemble_file import EnsembleFile, is_ensemble, member_folder
from recnas.nn.model import CTRModel
from recnas.nn.processes import all_processes, shared
from recnas.util.errors import InputError

STATE = ".members"
"""What the name of a folder ends in that holds the members of an ensemble whose training is under way."""


@dataclass(frozen=True)
class ContinuedEnsemble:
    """The outcome of training an exported ensemble further.

    Attributes:
        directory: The folder of the new export.
        after: Quality of the ensemble on the validation split.
        before: The same at the beginning; None when all had been done before.
        members: What each network came to, by its number in the folder; none when all had been done before.
    """

    directory: Path
    after: Quality
    before: Quality | None = None
    members: tuple[tuple[int, Continued], ...] = ()

    @property
    def worse(self) -> bool:
        """Whether the training made the ensemble worse on validation than it was."""
        return self.before is not None and self.after.log_loss > self.before.log_loss


def continue_training(
    directory: str | Path,
    data: str | Path,
    output: str | Path,
    *,
    overwrite: bool = False,
    resume: bool = False,
    **how: Any,
) -> Continued | ContinuedEnsemble:
    """Trains an exported model further by its recipe, and exports what is best on validation; see `continue_single`.

    Each network of an ensemble goes on by its own recipe, one after the other; trees and the weights of members stay.

    Args:
        directory: The folder of the exported model.
        data: A data set with the features that the model was trained on.
        output: The new export's folder, which may be `directory` with `overwrite`.
        overwrite: Replace an exported model at `output`.
        resume: Resume a training that was stopped, if there is one; the number of processes may be another.
        **how: What of `Continuation` is not to be as by default: `epochs`, `learning_rate`, `device` and others.

    Raises:
        InputError: As in `continue_single`.
        Diverged: The loss is not a finite number.
        RunError: The disk is full.
    """
    directory, data, output = Path(directory), Path(data), Path(output)
    go_on = _continue_ensemble if is_ensemble(directory) else continue_single
    return go_on(directory, data, output, Continuation(**how), overwrite=overwrite, resume=resume)


def _continue_ensemble(
    directory: Path, data: Path, output: Path, how: Continuation, *, overwrite: bool, resume: bool
) -> ContinuedEnsemble:
    """Trains an ensemble's networks further; arguments as those of `continue_single`."""
    record, file = TrainingRecord.load(directory), EnsembleFile.load(directory)
    if record.quantization is not None:
        raise InputError(
            f"{directory}: its tables are rounded; export the ensemble without --quantize to train it further"
        )
    folders = [member_folder(directory, place) for place in range(len(file.weights))]
    networks = [place for place, folder in enumerate(folders) if not are_trees(load_network(folder / ARCHITECTURE))]
    if not networks:
        raise only_trees(directory)
    dataset, processes = Dataset(data), all_processes(how.device)
    rows = {"rows": dataset.rows("train"), "fingerprint": dataset.schema.source.get("fingerprint")}
    in_place = output.absolute() == directory.absolute()
    state = output.with_name(output.name + STATE)
    given = how.decisive
    ended = processes.first(partial(ended_before, output, record.stages, in_place, given, rows)) if resume else None
    if ended is not None:
        # A process was lost when the ensemble was there.
        processes.first(partial(shutil.rmtree, state, ignore_errors=True))
        return ContinuedEnsemble(output, ended)
    if processes.first(state.exists) and not resume:
        raise shared(
            InputError(
                f"{state}: members of a training that has not ended; --resume goes on, without that folder it starts "
                "anew"
            )
        )
    processes.first(partial(check_free, output, overwrite))
    members = tuple(
        (
            place + 1,
            continue_single(
                folders[place],
                data,
                state / str(place + 1),
                how,
                overwrite=True,
                resume=resume,
                write=_write_member,
            ),
        )
        for place in networks
    )
    origin = digest(record.stages, given, rows)

    def write() -> tuple[Quality, Quality]:
        before = evaluate_model(load_ensemble(directory), dataset, "validation", directory)
        ensemble = read_ensemble(directory, {place: state / str(place + 1) for place in networks})
        after = evaluate_model(ensemble.model, dataset, "validation", state)
        stage = Stage(dataset.name, None, None, after, origin=origin)
        trained = replace(ensemble, record=TrainingRecord(None, (*record.stages, stage)))
        write_ensemble(output, trained, overwrite)
        return before, after

    # All wait until the ensemble is there, and all raise what could not be written.
    before, after = processes.first(write)
    processes.first(partial(shutil.rmtree, state, ignore_errors=True))
    return ContinuedEnsemble(output, after, before, members)


def _write_member(output: Path, model: CTRModel, record: TrainingRecord, overwrite: bool) -> Path:
    """Writes a member that was trained further, without a program of its own."""
    with new_folder(output, overwrite) as folder:
        write_model(folder, model, record)
    return output
