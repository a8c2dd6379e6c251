"""An ensemble as an exported folder: members side by side, each in a folder that is read as a model of its own.

ensemble.json   the members' weights, and which of them are fed alike
schema.json     the features of a data set for it; what each member is fed of them is in its own folder
members/1 …     a member: architecture.json, schema.json, weights.safetensors, training.json; or trees' files
training.json   how good the ensemble was after each stretch of training
program.pt2     all of it with torch alone; where CatBoost is a member, there is none
model.onnx      if asked for: the same for ONNX Runtime
torchrec/       if asked for: each member as a TorchRec project, and what takes their mean
README.md       what all this is, and how to use it
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from recnas.candidates.network import Baseline, Network, load_network
from recnas.export.ensemble_model import EnsembleModel
from recnas.export.ensemble_readme import render_ensemble_readme
from recnas.export.folder import (
    ARCHITECTURE,
    ONNX,
    PROGRAM,
    README,
    check_export,
    check_formats,
    load_single,
    new_folder,
    write_model,
)
from recnas.export.onnx import save_onnx
from recnas.export.program import save_program
from recnas.export.project import FOLDER as PROJECT
from recnas.export.project import write_projects
from recnas.export.quantize import RoundedTable
from recnas.export.record import TrainingRecord
from recnas.export.trees import copy_trees, has_module, is_tree_export
from recnas.features.ensemble_file import EnsembleFile, member_folder
from recnas.features.schema import Schema
from recnas.nn.model import CTRModel
from recnas.nn.networks import embedding_dim, network_of
from recnas.trees.model import TreeModel, load_trees
from recnas.trees.module import TreeModule, tree_module
from recnas.util.errors import InputError


@dataclass(frozen=True)
class NetworkMember:
    """A network that is a member.

    Attributes:
        model: On the CPU, with its tables held whole.
        record: How it was trained.
        rounded: Its tables, rounded, where they are to be; the model has the same numbers.
    """

    model: CTRModel
    record: TrainingRecord
    rounded: Mapping[str, RoundedTable] | None = None

    @property
    def network(self) -> Network:
        """What it is."""
        return network_of(self.model.network)

    @property
    def schema(self) -> Schema:
        """What it is fed."""
        return self.model.schema

    @property
    def module(self) -> CTRModel:
        """What becomes a program."""
        return self.model

    def write(self, folder: Path) -> None:
        """Writes its files; errors as in `write_model`."""
        write_model(folder, self.model, self.record, self.rounded)


@dataclass(frozen=True)
class TreesMember:
    """Trees that are a member; their library need not be installed.

    Attributes:
        source: Where they are.
        network: The family, with its choices.
        schema: What they are fed.
        record: How good they were.
    """

    source: Path
    network: Baseline
    schema: Schema
    record: TrainingRecord

    @property
    def model(self) -> TreeModel:
        """What computes; errors as in `load_trees`."""
        return load_trees(self.source, self.network.name, self.schema)

    @property
    def module(self) -> TreeModule:
        """What becomes a program; errors as in `tree_module`."""
        return tree_module(self.source, self.network.name, self.schema)

    def write(self, folder: Path) -> None:
        """Writes their files; errors as in `copy_trees`."""
        copy_trees(folder, self.source, self.network, self.schema, self.record)


Member = NetworkMember | TreesMember


@dataclass(frozen=True)
class ExportedEnsemble:
    """An ensemble to be written.

    Attributes:
        schema: The features of a data set for it.
        members: What it is made of.
        weights: The share of each; their sum is 1.
        record: How good it is.
    """

    schema: Schema
    members: tuple[Member, ...]
    weights: tuple[float, ...]
    record: TrainingRecord

    @property
    def file(self) -> EnsembleFile:
        """What `ensemble.json` holds."""
        return EnsembleFile.of(self.weights, tuple(member.schema for member in self.members))

    @property
    def networks(self) -> list[NetworkMember]:
        """Members that are no trees."""
        return [member for member in self.members if isinstance(member, NetworkMember)]

    @property
    def has_program(self) -> bool:
        """Whether all members can be one."""
        return all(isinstance(member, NetworkMember) or has_module(member.network) for member in self.members)

    @property
    def model(self) -> EnsembleModel:
        """What computes.

        Raises:
            InputError: Trees are members whose library is not installed, or whose files are damaged.
        """
        models = [member.model for member in self.members]
        return EnsembleModel(self.schema, models, self.weights, self.file.inputs)

    @property
    def module(self) -> EnsembleModel:
        """What becomes a program; no library need be installed.

        Raises:
            InputError: Files of trees are damaged.
        """
        modules = [member.module for member in self.members]
        return EnsembleModel(self.schema, modules, self.weights, self.file.inputs)


def write_ensemble(output: Path, ensemble: ExportedEnsemble, overwrite: bool, formats: Collection[str] = ()) -> Path:
    """Writes an ensemble's folder.

    Args:
        output: The folder, which appears when complete.
        ensemble: What is written.
        overwrite: Replace an exported model of that name.
        formats: More formats to write, of `FORMATS`.

    Returns:
        `output`.

    Raises:
        InputError: A format cannot be had of it, something is there and may not be replaced, or the folder cannot be
            made.
        RunError: The disk is full.
    """
    rounded = [member.rounded if isinstance(member, NetworkMember) else None for member in ensemble.members]
    is_rounded = any(tables is not None for tables in rounded)
    check_ensemble_formats(ensemble, formats, is_rounded)
    with new_folder(output, overwrite) as folder:
        ensemble.schema.save(folder)
        ensemble.record.save(folder)
        ensemble.file.save(folder)
        for place, member in enumerate(ensemble.members):
            path = member_folder(folder, place)
            path.mkdir(parents=True)
            member.write(path)
        if ensemble.has_program:
            module, tables = ensemble.module, rounded if is_rounded else None
            save_program(module, folder / PROGRAM, tables)
            if "onnx" in formats:
                save_onnx(module, folder / ONNX, tables)
        if "torchrec" in formats:
            searched = [(member.model, member.record) for member in ensemble.networks]
            write_projects(folder / PROJECT, searched, ensemble.weights)
        described = [(member.network, member.schema, member.record) for member in ensemble.members]
        readme = render_ensemble_readme(
            ensemble.schema, ensemble.file, described, ensemble.record, formats, ensemble.has_program
        )
        (folder / README).write_text(readme, encoding="utf-8")
    return output


def check_ensemble_formats(ensemble: ExportedEnsemble, formats: Collection[str], rounded: bool) -> None:
    """Checks beforehand what `write_ensemble` would refuse.

    Raises:
        InputError: There is no such format, what it needs is not installed, or it cannot be had of such members; with
            what can be had.
    """
    check_formats(formats, rounded)
    alone = "--single exports the best model alone, --model ID another"
    for item in ensemble.members:
        # Tables of the other members are rounded where there is a program to look them up.
        if isinstance(item, TreesMember) and ("torchrec" in formats or not has_module(item.network)):
            flag, what = ("--format", "are no program of torch") if formats else ("--quantize", "have no program")
            if formats or rounded:
                raise InputError(f"{flag}: {item.network.id} in the ensemble are trees, which {what}; {alone}")
    names = [item.network.id for item in ensemble.networks if isinstance(item.network, Baseline)]
    if "torchrec" in formats and names:
        raise InputError(
            f"--format torchrec writes searched models out, and {names[0]} in the ensemble is a baseline; {alone}"
        )
    if rounded and not any(embedding_dim(member.network) for member in ensemble.networks):
        raise InputError(f"no member of the ensemble has embedding tables to round; {alone}")


def read_ensemble(directory: Path, others: Mapping[int, Path] | None = None) -> ExportedEnsemble:
    """The ensemble of an exported folder, to be written in other forms.

    Args:
        directory: The folder.
        others: Folders to read members from in the place of their own, by the members' places.

    Raises:
        InputError: A file is missing or damaged, or the files belong to different models.
    """
    file = EnsembleFile.load(directory)
    folders = {place: member_folder(directory, place) for place in range(len(file.weights))} | dict(others or {})
    members = tuple(map(_read_member, folders.values()))
    return ExportedEnsemble(Schema.load(directory), members, file.weights, TrainingRecord.load(directory))


def load_ensemble(directory: Path, device: torch.device | str = "cpu") -> EnsembleModel:
    """The model of an exported ensemble, for inference; see `loading.load`."""
    file = EnsembleFile.load(directory)
    members = [load_single(member_folder(directory, place), device) for place in range(len(file.weights))]
    return EnsembleModel(Schema.load(directory), members, file.weights, file.inputs).eval()


def _read_member(folder: Path) -> Member:
    check_export(folder)
    record = TrainingRecord.load(folder)
    if is_tree_export(folder):
        return TreesMember(folder, load_network(folder / ARCHITECTURE), Schema.load(folder), record)
    model = load_single(folder)
    assert not isinstance(model, TreeModel), "no trees"
    return NetworkMember(model, record)
