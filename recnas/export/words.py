"""What a model is fed and how it was trained, in words for its README."""

from __future__ import annotations

from collections.abc import Iterator

from recnas.candidates.recipe import Optimization, Recipe
from recnas.features.feature import MISSING_INDICATOR, SHARED, SparseFeature
from recnas.features.number_field import PIECEWISE
from recnas.features.schema import Schema

OPTIMIZERS = {
    "adagrad": "Adagrad",
    "adam": "Adam",
    "adamw": "AdamW",
    "rowwise-adagrad": "row-wise Adagrad",
    "rowwise-adam": "row-wise Adam",
}
FALLS = {
    "cosine": "half a cosine to 0",
    "linear": "a line to 0",
    "plateau": "a tenth of it after each measurement on validation that is no better than the best before",
    "constant": "no change",
}
"""How the learning rate goes on after its rise."""


def inputs_in_words(schema: Schema) -> list[tuple[str, list[str]]]:
    """What a model is fed: in words what it is, and of which features."""
    indicators = [item.name for item in schema.dense if item.transform["name"] == MISSING_INDICATOR]
    columns = [item.name for item in schema.dense if item.name not in indicators]
    fields = [item.dense for item in schema.number_fields if item.kind != PIECEWISE]
    pieces = [f"{item.dense} ({len(item.edges) - 1} pieces)" for item in schema.number_fields if item.kind == PIECEWISE]
    plain = [item for item in schema.sparse if item.number is None and not item.joint]
    found = [
        ("numbers, transformed", columns if schema.reads_columns else []),
        ("whether a number is missing", indicators if schema.reads_columns else []),
        ("a vector times a number", fields),
        ("a piecewise-linear function of a number", pieces),
        (
            "the bin of a number",
            [f"{item.number} ({len(item.edges) + 1} bins)" for item in schema.sparse if item.number is not None],
        ),
        *_ids("an id", [item for item in plain if not item.multi_valued]),
        *_ids("a list of ids", [item for item in plain if item.multi_valued]),
        *_ids("an id of several features together", [item for item in schema.sparse if item.joint]),
    ]
    return [(what, names) for what, names in found if names]


def _ids(what: str, features: list[SparseFeature]) -> Iterator[tuple[str, list[str]]]:
    yield what, [item.name for item in features if item.unseen != SHARED]
    shared = [f"{item.name} ({len(item.kept):,} alone)" for item in features if item.unseen == SHARED]
    yield f"{what}, of which rare and unseen values share an embedding", shared


def recipe_in_words(recipe: Recipe) -> list[tuple[str, str]]:
    """How a model was trained: what of it, and how."""
    optimization = recipe.optimization
    passes = "one pass" if recipe.epochs == 1 else f"up to {recipe.epochs} passes"
    measured = "" if recipe.evaluations == 1 else f", measured on validation {recipe.evaluations} times a pass"
    patience = recipe.patience
    ended = "" if patience is None else f", ended by {patience} measurements in succession no better than the best"
    share = optimization.lr_warmup_share
    rise = f"a rise over {share:.3g} of the steps, then " if share else ""
    start = "Xavier's deviation" if recipe.embedding_std is None else f"a deviation of {recipe.embedding_std:g}"
    dropout = "the network's own share" if recipe.dropout is None else f"{recipe.dropout:g}"
    found = [
        ("dense part", ", ".join(_dense(optimization))),
        ("embedding tables", ", ".join(_tables(optimization))),
        ("learning rate", rise + FALLS[optimization.schedule]),
        ("training", f"batches of {optimization.batch_size:,} rows, {passes}{measured}{ended}"),
        ("dropout", dropout),
        ("embeddings at the start", f"normal, of {start}"),
    ]
    if recipe.soft_labels:
        found.append(("labels", f"{recipe.soft_labels:.0%} what the run's ensemble predicted, the rest what happened"))
    return [(what, how) for what, how in found if not (what == "dropout" and recipe.dropout == 0)]


def _dense(optimization: Optimization) -> Iterator[str]:
    yield f"{OPTIMIZERS[optimization.optimizer]} at a rate of {optimization.learning_rate:g}"
    yield f"eps {optimization.dense_eps:g}"
    if optimization.weight_decay:
        yield f"weight decay {optimization.weight_decay:g}"
    if optimization.fan_in_scale is not None:
        yield f"slower in proportion for layers of more than {optimization.fan_in_scale:g} inputs"
    if optimization.clip is not None:
        yield f"gradients held to a norm of {optimization.clip:g}"


def _tables(optimization: Optimization) -> Iterator[str]:
    tables = optimization.of_tables
    yield f"{OPTIMIZERS[tables.name]} at {optimization.embedding_rate:g} times the rate"
    yield f"eps {tables.eps:g}"
    if tables.is_adam:
        yield f"β₁ {tables.beta1:g}"
    if tables.penalty:
        yield f"an L2 penalty of {tables.penalty:g} on all rows at every step"
    if tables.penalty_of(joint=True) != tables.penalty:
        yield f"of {tables.penalty_of(joint=True):g} on those of joint ids"
