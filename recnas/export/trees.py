"""Trees as an exported folder: the library's own text file with the schema, and LightGBM's as a program, too.

architecture.json   which family, and what was chosen of it
schema.json         the features, how raw values become inputs
trees.json          the columns that the trees take, and what the library's file must be, byte for byte
model.txt           LightGBM's model, or
model.json          CatBoost's
training.json       how good it was
program.pt2         LightGBM's trees for inference with torch alone
model.onnx          if asked for: the same for ONNX Runtime
README.md           what all this is, and how to use it
"""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path

from recnas.candidates.families import written
from recnas.candidates.network import Baseline, save_network
from recnas.export.folder import ARCHITECTURE, ONNX, PROGRAM, README, new_folder
from recnas.export.onnx import OUTPUT, input_names, save_onnx
from recnas.export.program import save_program
from recnas.export.record import TrainingRecord
from recnas.export.rows_code import example_lines
from recnas.export.templates import render
from recnas.export.words import inputs_in_words
from recnas.features.schema import Schema
from recnas.trees.columns import TreeColumns
from recnas.trees.files import ENSEMBLES, TREES
from recnas.trees.model import read_columns
from recnas.trees.module import HAVE_MODULES, tree_module
from recnas.util.errors import InputError


def write_trees(
    output: Path,
    source: Path,
    network: Baseline,
    schema: Schema,
    record: TrainingRecord,
    overwrite: bool,
    formats: Collection[str] = (),
) -> Path:
    """Writes trees' folder; their library need not be installed.

    Args:
        output: The folder, which appears when complete.
        source: Where the trees are: a run's folder of the model, or an exported one.
        network: The family, with its choices.
        schema: The features that they take.
        record: How good they were.
        overwrite: Replace an exported model of that name.
        formats: More formats to write; see `check_trees_export`.

    Returns:
        `output`.

    Raises:
        InputError: A format cannot be had, a file is missing or damaged, something is there and may not be replaced,
            or the folder cannot be made.
        RunError: The disk is full.
    """
    check_trees_export(network, formats, rounded=False)
    has_program = has_module(network)
    with new_folder(output, overwrite) as folder:
        columns = copy_trees(folder, source, network, schema, record)
        if has_program:
            module = tree_module(folder, network.name, schema)
            save_program(module, folder / PROGRAM)
            if "onnx" in formats:
                save_onnx(module, folder / ONNX)
        readme = render(
            "trees-readme.md",
            family=network.name,
            file=ENSEMBLES[network.name],
            choices=[(name, written(value)) for name, value in network.all_choices.items()],
            schema=schema,
            inputs=inputs_in_words(schema),
            columns=columns,
            stage=record.stages[-1],
            example=example_lines(schema),
            has_program=has_program,
            formats=formats,
            onnx_inputs=input_names([schema]),
            onnx_output=OUTPUT,
        )
        (folder / README).write_text(readme, encoding="utf-8")
    return output


def copy_trees(folder: Path, source: Path, network: Baseline, schema: Schema, record: TrainingRecord) -> TreeColumns:
    """Writes what `load_single` reads, and nothing else; gives the columns that trees take. Arguments as in
    `write_trees`.

    Raises:
        InputError: A file is missing or damaged.
        OSError: A file cannot be written.
    """
    columns = read_columns(source, network.name, schema)
    save_network(network, folder / ARCHITECTURE)
    schema.save(folder)
    record.save(folder)
    for name in (ENSEMBLES[network.name], TREES):
        shutil.copyfile(source / name, folder / name)
    return columns


def is_tree_export(folder: Path) -> bool:
    """Whether a folder is an exported model of trees."""
    return (folder / TREES).is_file() and (folder / ARCHITECTURE).is_file()


def has_module(network: Baseline) -> bool:
    """Whether trees can be a program."""
    return network.name in HAVE_MODULES


def check_trees_export(network: Baseline, formats: Collection[str], rounded: bool) -> None:
    """Raises InputError for what an export of trees cannot have."""
    unwanted = [name for name in formats if name == "torchrec" or not has_module(network)]
    if unwanted:
        what = "are no network to edit" if has_module(network) else "are no program of torch"
        flag = f"--format {unwanted[0]}"
    elif rounded:
        flag, what = "--quantize", "have no tables"
    else:
        return
    raise InputError(
        f"{network.id} are trees, which {what}; leave {flag} out: {ENSEMBLES[network.name]}, in the library's "
        f"own format, {f'{PROGRAM} and --format onnx' if has_module(network) else 'alone'} can be had"
    )
