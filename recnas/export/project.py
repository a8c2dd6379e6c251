"""A searched model as a TorchRec project of its own: plain Python to read and edit, without recnas."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from torch import Tensor

from recnas.candidates.recipe import Recipe
from recnas.export.features_code import FeaturesCode
from recnas.export.network_code import NetworkCode
from recnas.export.record import TrainingRecord
from recnas.export.rows_code import RowsCode, example_lines
from recnas.export.templates import render
from recnas.export.words import recipe_in_words
from recnas.features.schema import Schema
from recnas.nn.model import CTRModel
from recnas.nn.networks import network_of
from recnas.nn.number_fields import inner_network
from recnas.nn.row_kernels import BETA_2
from recnas.train.loop import FIELDS_SHARE_OF_CLIP
from recnas.train.schedule import CUT
from recnas.train.tensor_files import save_tensors

FOLDER = "torchrec"
READING = ("features.py", "data.py", "rows.py")
"""What makes the model's inputs."""
MEAN = "mean.py"
"""What takes the mean of several projects."""
TABLES = "tables.py"
"""What is written only where FBGEMM does not train tables by the recipe."""
FILES = (*READING, "model.py", TABLES, "train.py", "serve.py", "README.md", "requirements.txt")
"""What is written from a template of that name."""


def write_project(folder: Path, model: CTRModel, record: TrainingRecord) -> None:
    """Writes the project of a searched model: its code, `schema.json` and `weights.safetensors`.

    Args:
        folder: The folder to make.
        model: The model, on the CPU, with its tables held whole.
        record: How it was trained; the project trains by the same recipe.

    Raises:
        RunError: The weights cannot be written.
        OSError: Another file cannot be written.
    """
    schema, recipe = model.schema, record.recipe
    code = NetworkCode(inner_network(model.network), dropout=bool(recipe.dropout))
    told = reading_code(schema) | _training_code(schema, recipe)
    folder.mkdir()
    for name in FILES if told["own_tables"] else [name for name in FILES if name != TABLES]:
        text = render(
            name,
            **told,
            id=network_of(model.network).id,
            num_dense=schema.num_dense,
            features=schema.sparse,
            number_fields=schema.number_fields,
            reads_columns=schema.reads_columns or not schema.dense,
            example=example_lines(schema),
            dim=model.embeddings.dim,
            blocks=code.blocks,
            helpers=code.helpers,
            versions={name: version(name).partition("+")[0] for name in ("torch", "torchrec")},
        )
        (folder / name).write_text(text, encoding="utf-8")
    schema.save(folder)
    save_tensors(folder / "weights.safetensors", project_tensors(model, code))
    (folder / "weights.safetensors").chmod((folder / "model.py").stat().st_mode)


def write_projects(folder: Path, models: Sequence[tuple[CTRModel, TrainingRecord]], weights: Sequence[float]) -> None:
    """Writes the projects of an ensemble's members, named by their numbers from 1, and what takes their mean.

    Args:
        folder: The folder to make.
        models: Each member, as `write_project` takes it.
        weights: The share of each.

    Raises:
        RunError: Weights cannot be written.
        OSError: Another file cannot be written.
    """
    folder.mkdir()
    for number, (model, record) in enumerate(models, start=1):
        write_project(folder / str(number), model, record)
    (folder / MEAN).write_text(render(MEAN, weights=weights), encoding="utf-8")


def _training_code(schema: Schema, recipe: Recipe) -> dict[str, Any]:
    """What the templates need to know of a recipe."""
    optimization, tables = recipe.optimization, recipe.optimization.of_tables
    joint = any(feature.joint for feature in schema.sparse)
    crosses = joint and tables.penalty_of(joint=True) != tables.penalty
    penalty = bool(tables.penalty or (crosses and tables.cross_penalty))
    return {
        "recipe": recipe,
        "words": recipe_in_words(recipe),
        "settings": optimization,
        "dense_eps": optimization.dense_eps,
        "fields_share_of_clip": FIELDS_SHARE_OF_CLIP,
        "cut": CUT,
        "tables": tables,
        # FBGEMM has Adagrad alone for a CPU, and no penalty.
        "own_tables": tables.is_adam or penalty,
        "adam": tables.is_adam,
        "momentum": tables.has_momentum,
        "elementwise": tables.elementwise,
        "whole_rows": tables.has_row_state,
        "beta2": BETA_2,
        "penalty": penalty,
        "crosses": crosses,
        "shared": any(feature.shared_id == feature.rows - 2 for feature in schema.sparse),
    }


def reading_code(schema: Schema) -> dict[str, Any]:
    """What the templates of `READING` need to know of a schema."""
    made = FeaturesCode(schema)
    rows = RowsCode(made) if schema.unreadable is None else None
    return {"made": made, "code": rows, "unreadable": schema.unreadable}


def project_tensors(model: CTRModel, code: NetworkCode) -> dict[str, Tensor]:
    """The weights under the names of the written `ClickModel`."""
    tables = {
        f"embeddings.embedding_bags.table_{place}.weight": table
        for place, table in enumerate(model.embeddings.tables().values())
    }
    numbers = getattr(model.network, "numbers", None)
    fields = {} if numbers is None else {f"numbers.{name}": part for name, part in numbers.state_dict().items()}
    return tables | {f"network.{name}": tensor.clone() for name, tensor in (fields | code.weights).items()}
