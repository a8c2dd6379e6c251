"""Trees as an exported folder: the library's own file with the schema, all of it text.

architecture.json   which family, and what was chosen of it
schema.json         the features, how raw values become inputs
trees.json          the columns that the trees take, and what the library's file must be, byte for byte
model.txt           LightGBM's model, or
model.json          CatBoost's
training.json       how good it was
README.md           what all this is, and how to use it
"""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path

from recnas.candidates.families import written
from recnas.candidates.network import Baseline, save_network
from recnas.export.folder import ARCHITECTURE, README, new_folder
from recnas.export.record import TrainingRecord
from recnas.export.rows_code import example_lines
from recnas.export.templates import render
from recnas.export.words import inputs_in_words
from recnas.features.schema import Schema
from recnas.trees.files import ENSEMBLES, TREES
from recnas.trees.model import read_columns
from recnas.util.errors import InputError


def write_trees(
    output: Path, source: Path, network: Baseline, schema: Schema, record: TrainingRecord, overwrite: bool
) -> Path:
    """Writes trees' folder; their library need not be installed.

    Args:
        output: The folder, which appears when complete.
        source: Where the trees are: a run's folder of the model, or an exported one.
        network: The family, with its choices.
        schema: The features that they take.
        record: How good they were.
        overwrite: Replace an exported model of that name.

    Returns:
        `output`.

    Raises:
        InputError: A file is missing or damaged, something is there and may not be replaced, or the folder cannot be
            made.
        RunError: The disk is full.
    """
    columns = read_columns(source, network.name, schema)
    with new_folder(output, overwrite) as folder:
        copy_trees(folder, source, network, schema, record)
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
        )
        (folder / README).write_text(readme, encoding="utf-8")
    return output


def copy_trees(folder: Path, source: Path, network: Baseline, schema: Schema, record: TrainingRecord) -> None:
    """Writes what `load_single` reads, and nothing else; arguments as in `write_trees`.

    Raises:
        InputError: A file is missing or damaged.
        OSError: A file cannot be written.
    """
    read_columns(source, network.name, schema)
    save_network(network, folder / ARCHITECTURE)
    schema.save(folder)
    record.save(folder)
    for name in (ENSEMBLES[network.name], TREES):
        shutil.copyfile(source / name, folder / name)


def is_tree_export(folder: Path) -> bool:
    """Whether a folder is an exported model of trees."""
    return (folder / TREES).is_file() and (folder / ARCHITECTURE).is_file()


def check_trees_export(network: Baseline, formats: Collection[str], rounded: bool) -> None:
    """Raises InputError for what an export of trees cannot have."""
    for given, flag, what in (
        (formats, "--format", "are no program of torch"),
        (rounded, "--quantize", "have no tables"),
    ):
        if given:
            raise InputError(
                f"{network.id} are trees, which {what}; leave {flag} out: {ENSEMBLES[network.name]}, in the library's "
                "own format, can be had"
            )
