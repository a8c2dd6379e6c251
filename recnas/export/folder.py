"""An exported model on disk: written whole or not at all, read back as a model.

Trees are written by `recnas.export.trees`, and read here as well.

architecture.json    the canonical architecture, without dead parts, or the name of a baseline
schema.json          the features and the size of their tables
weights.safetensors  dense part and tables, by name
training.json        how the weights were learned
program.pt2          the model for inference with torch alone
model.onnx           if asked for: the model for inference with ONNX Runtime
torchrec/            if asked for: the model as a TorchRec project without recnas
README.md            what all this is, and how to use it
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError

from recnas.candidates.network import Baseline, Network, are_trees, load_network, save_network
from recnas.export.former_baselines import is_former, with_number_fields, with_present_names
from recnas.export.onnx import check_onnx, save_onnx
from recnas.export.program import save_program
from recnas.export.project import FOLDER as PROJECT
from recnas.export.project import write_project
from recnas.export.quantize import RoundedTable
from recnas.export.readme import render_readme
from recnas.export.record import TrainingRecord
from recnas.features.ensemble_file import FILE_NAME as ENSEMBLE
from recnas.features.schema import FILE_NAME as SCHEMA
from recnas.features.schema import Schema
from recnas.nn.embeddings import WEIGHT_COLUMNS, WholeEmbeddings
from recnas.nn.model import CTRModel
from recnas.nn.networks import build_network, embedding_dim, network_of, reads_first_order
from recnas.train.checkpoint import FIRST_ORDER, NETWORK, TABLES, check_same, load_model_tensors, model_tensors
from recnas.train.tensor_files import load_tensors, save_tensors, tensors_in
from recnas.trees.files import TREES
from recnas.trees.model import TreeModel, load_trees
from recnas.util.errors import InputError, RunError, suggested
from recnas.util.files import check_name

ARCHITECTURE, WEIGHTS, PROGRAM, README = "architecture.json", "weights.safetensors", "program.pt2", "README.md"
ONNX = "model.onnx"
FORMATS = ("onnx", "torchrec")
"""What a folder may hold besides the program."""
SCALES = "scales."
"""What precedes a feature's name for the scales of its rounded table, in the file of weights."""
NEEDED = (ARCHITECTURE, SCHEMA, WEIGHTS)
"""The files that a network is read from."""
NEEDED_OF_TREES = (ARCHITECTURE, SCHEMA, TREES)
"""The files that trees are read from, besides the library's own."""


def load_single(directory: Path, device: torch.device | str = "cpu") -> CTRModel | TreeModel:
    """A single model from its folder, which may be that of an ensemble's member; see `loading.load`."""
    check_export(directory)
    network, schema = load_network(directory / ARCHITECTURE), Schema.load(directory)
    if are_trees(network):
        return load_trees(directory, network.name, schema)
    return model_from(network, schema, directory / WEIGHTS, device)


def check_export(directory: Path) -> None:
    """Raises InputError if a folder is not an exported model."""
    if not directory.is_dir():
        raise InputError(
            f"{directory}: no such folder; `{suggested('recnas', 'export', 'RUN', '--output', directory)}` makes it"
        )
    for name in NEEDED_OF_TREES if (directory / TREES).is_file() else NEEDED:
        if not (directory / name).is_file():
            raise InputError(f"{directory}: no {name}, so this is not an exported model; `recnas export` makes one")


def read_model(architecture: Path, schema: Schema, weights: Path, device: torch.device | str = "cpu") -> CTRModel:
    """A searched model or a baseline from its files; tables are capped where those in the file of weights are.

    Raises:
        InputError: A file is missing or damaged, or they belong to different models.
    """
    return model_from(load_network(architecture), schema, weights, device)


def model_from(network: Network, schema: Schema, weights: Path, device: torch.device | str = "cpu") -> CTRModel:
    """A model whose network is known already; otherwise as `read_model`."""
    with tensors_in(weights) as stored:
        shapes = {name: tensor.shape for name, tensor in stored.items()}
    schema, dim = as_in_file(schema, shapes, weights)
    if is_former(network, shapes):
        tensors = with_present_names(_whole(load_tensors(weights), weights))
        schema, shapes = with_number_fields(schema, shapes), {name: tensor.shape for name, tensor in tensors.items()}
        check_sizes(network, schema, dim, shapes, weights)
    else:
        check_sizes(network, schema, dim, shapes, weights)
        tensors = _whole(load_tensors(weights), weights)
    embeddings = WholeEmbeddings(schema, dim, device, reads_first_order(network))
    model = CTRModel(schema, embeddings, build_network(network, schema, dim).to(device))
    load_model_tensors(model, tensors, weights)
    return model.eval()


def as_in_file(schema: Schema, shapes: Mapping[str, tuple[int, ...]], weights: Path) -> tuple[Schema, int]:
    """A schema with its tables capped where those in a file of weights are, and the columns of the embeddings.

    A model of first-order weights alone has embeddings of no columns.

    Raises:
        InputError: There are no tables.
    """
    matrices = {name: shape for name, shape in shapes.items() if len(shape) == 2}
    tables = [shape for name, shape in matrices.items() if name.startswith(TABLES)]
    first_order = [shape for name, shape in matrices.items() if name.startswith(FIRST_ORDER)]
    if not tables and not first_order:
        raise InputError(f"{weights}: no embedding tables; this file belongs to another model")
    return schema.capped(max(rows for rows, _ in tables or first_order)), tables[0][1] if tables else 0


def check_sizes(
    network: Network, schema: Schema, dim: int, shapes: Mapping[str, tuple[int, ...]], weights: Path
) -> None:
    """Holds what a model would take against what a file of weights has, before any memory is taken.

    Args:
        network: The dense part.
        schema: The features, with tables as in the file.
        dim: Columns of an embedding, E.
        shapes: The shapes of the file's tensors.
        weights: The file, for messages.

    Raises:
        InputError: They differ.
    """
    tables = {
        prefix + feature.name: (feature.rows, columns)
        for prefix, columns, there in (
            (TABLES, dim, dim > 0),
            (FIRST_ORDER, WEIGHT_COLUMNS, reads_first_order(network)),
        )
        for feature in schema.sparse
        if there
    }
    check_same(
        tables, {name: shape for name, shape in shapes.items() if not name.startswith((NETWORK, SCALES))}, weights
    )
    dense = {name: shape for name, shape in shapes.items() if name.startswith(NETWORK)}
    # Shapes without numbers.
    with torch.device("meta"):
        module = build_network(network, schema, dim)
    check_same({NETWORK + name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}, dense, weights)


def _whole(tensors: Mapping[str, torch.Tensor], weights: Path) -> dict[str, torch.Tensor]:
    """Weights with rounded tables made float32."""
    whole = {name: tensor for name, tensor in tensors.items() if not name.startswith(SCALES)}
    for name in whole:
        if name.startswith(TABLES) and whole[name].dtype == torch.int8:
            scales = tensors.get(SCALES + name.removeprefix(TABLES))
            if whole[name].ndim != 2 or scales is None or scales.shape != whole[name].shape[:1]:
                raise InputError(f"{weights}: the scales of {name} are missing; this file belongs to another model")
            whole[name] = RoundedTable(whole[name], scales).table()
    return whole


def _stored(model: CTRModel, rounded: Mapping[str, RoundedTable] | None) -> dict[str, torch.Tensor]:
    """The tensors that the file of weights holds."""
    tensors = model_tensors(model)
    for name, table in (rounded or {}).items():
        tensors |= {TABLES + name: table.numbers, SCALES + name: table.scales}
    return tensors


def check_formats(formats: Collection[str], rounded: bool, network: Network | None = None) -> None:
    """Checks beforehand what `write_export` would refuse.

    Args:
        formats: The formats to write, of `FORMATS`.
        rounded: Whether the tables are to be rounded.
        network: That of the model to be written, where it is known.

    Raises:
        InputError: There is no such format, what it needs is not installed, it cannot hold rounded tables, or it cannot
            be had of such a model.
    """
    for name in formats:
        if name not in FORMATS:
            raise InputError(f"no format is named {name!r}; known are {', '.join(FORMATS)}")
    if "onnx" in formats:
        check_onnx()
    if "torchrec" in formats and rounded:
        raise InputError(
            "--format torchrec makes a project to train, which rounded tables are not for; export it without --quantize"
        )
    if isinstance(network, Baseline):
        if "torchrec" in formats:
            raise InputError(
                f"--format torchrec writes searched architectures out as code, and {network.id} is a baseline; "
                "leave it out: program.pt2 and --format onnx can be had"
            )
        if rounded and not embedding_dim(network):
            raise InputError(f"{network.id} has no embedding tables to round; export it without --quantize")


def write_export(
    output: Path,
    model: CTRModel,
    record: TrainingRecord,
    overwrite: bool,
    formats: Collection[str] = (),
    rounded: Mapping[str, RoundedTable] | None = None,
) -> Path:
    """Writes a model's folder.

    Args:
        output: The folder, which appears when complete.
        model: The model, on the CPU, with its tables held whole.
        record: How it was trained.
        overwrite: Replace an exported model of that name.
        formats: More formats to write, of `FORMATS`.
        rounded: The model's tables, rounded, which are written in their place; the model must hold the same numbers.

    Returns:
        `output`.

    Raises:
        InputError: Something is there and may not be replaced, or the folder cannot be made.
        RunError: The disk is full.
    """
    network = network_of(model.network)
    check_formats(formats, rounded is not None, network)
    with new_folder(output, overwrite) as folder:
        write_model(folder, model, record, rounded)
        tables = None if rounded is None else [rounded]
        save_program(model, folder / PROGRAM, tables)
        if "onnx" in formats:
            save_onnx(model, folder / ONNX, tables)
        if "torchrec" in formats:
            write_project(folder / PROJECT, model, record)
        (folder / README).write_text(render_readme(model, record, formats), encoding="utf-8")
    return output


def write_model(
    folder: Path, model: CTRModel, record: TrainingRecord, rounded: Mapping[str, RoundedTable] | None = None
) -> None:
    """Writes what `load_single` reads, and nothing else; arguments as in `write_export`.

    Raises:
        RunError: The weights cannot be written.
        OSError: Another file cannot be written.
    """
    save_network(network_of(model.network), folder / ARCHITECTURE)
    model.schema.save(folder)
    record.save(folder)
    save_tensors(folder / WEIGHTS, _stored(model, rounded))
    # safetensors makes files that only their owner can read.
    (folder / WEIGHTS).chmod((folder / ARCHITECTURE).stat().st_mode)


def check_free(output: Path, overwrite: bool) -> None:
    """Raises InputError if something at `output` may not be replaced; only an exported model ever may."""
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return
    exports = (*NEEDED, PROGRAM), NEEDED_OF_TREES, (ENSEMBLE, SCHEMA)
    if not any(all((output / name).is_file() for name in names) for names in exports):
        raise InputError(f"{output}: is there already and is not an exported model; choose another --output")
    if not overwrite:
        raise InputError(f"{output}: an exported model is there already; --overwrite replaces it")


@contextmanager
def new_folder(output: Path, overwrite: bool) -> Iterator[Path]:
    """A folder beside `output` that takes its place when the `with` block ends without an error."""
    check_name(output, "--output")
    check_free(output, overwrite)
    output = output.absolute()
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        workshop = Path(tempfile.mkdtemp(prefix=f".{output.name}.", dir=output.parent))
    except OSError as error:
        raise InputError(f"{output}: cannot be made ({error.strerror}); choose another --output") from None
    try:
        new, old = workshop / "new", workshop / "old"
        new.mkdir()
        yield new
        check_free(output, overwrite)
        if output.exists():
            output.rename(old)
        new.rename(output)
    except (OSError, SafetensorError, RunError) as error:
        # What could not be written is named by where it should have come, not by where it was made.
        cause = error.__cause__ or error
        reason = getattr(cause, "strerror", None) or cause
        raise RunError(
            f"{output}: could not be written ({reason}); free some space or choose another --output"
        ) from None
    finally:
        shutil.rmtree(workshop, ignore_errors=True)
