"""The README of an exported model."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from recnas.export.onnx import OUTPUT, input_names
from recnas.export.record import TrainingRecord
from recnas.export.rows_code import example_lines
from recnas.export.templates import render
from recnas.export.words import inputs_in_words, recipe_in_words
from recnas.features.fed import is_as_prepared
from recnas.nn.model import CTRModel, count_dense_parameters
from recnas.nn.networks import count_macs, network_of, title_of
from recnas.space import Architecture, Block
from recnas.space.architecture import MERGED_FIELDS, UNREAD
from recnas.space.operators import BRANCHES


def render_readme(model: CTRModel, record: TrainingRecord, formats: Collection[str] = ()) -> str:
    """Markdown that says what a model is, how good it is, and how to use it."""
    schema, dim = model.schema, model.embeddings.dim
    network = network_of(model.network)
    arch = network if isinstance(network, Architecture) else None
    return render(
        "model-readme.md",
        id=network.id,
        title=title_of(network),
        searched=arch is not None,
        schema=schema,
        singles=schema.singles,
        lists=schema.lists,
        example=example_lines(schema),
        derived=not is_as_prepared(schema),
        kept=any(feature.kept is not None for feature in schema.sparse),
        blocks=[] if arch is None else _blocks(arch),
        to_logit="what no block reads" if arch is not None and arch.logit == UNREAD else "the last block",
        branches=[] if arch is None else [(BRANCHES[name], depth) for name, depth in arch.branches],
        dim=dim,
        first_order=model.embeddings.first_order,
        parameters=count_dense_parameters(model),
        macs=count_macs(network, schema, dim),
        table_rows=sum(feature.rows for feature in schema.sparse),
        stages=record.stages,
        latest=record.stages[-1],
        inputs=inputs_in_words(schema),
        recipe=recipe_in_words(record.recipe),
        quantization=record.quantization,
        formats=formats,
        onnx_inputs=input_names([schema]),
        onnx_output=OUTPUT,
    )


def _blocks(arch: Architecture) -> list[dict[str, Any]]:
    """A row of the table of blocks for each that has a live part."""
    return [
        {"number": number, "dense": _dense(block), "sparse": _sparse(block), "reads": _reads(block)}
        for number, block in enumerate(arch.blocks, start=1)
        if block.dense_operators or block.sparse_operators
    ]


def _dense(block: Block) -> str:
    if not block.dense_operators:
        return ""
    width = "" if block.sets_width else f" → {block.dense_width}"
    return f"{' + '.join(block.dense_operators)}{' + FM' if block.fm else ''}{width}"


def _sparse(block: Block) -> str:
    parts = [f"{' + '.join(block.sparse_operators)} → {block.sparse_width}"] if block.sparse_operators else []
    if block.dense_to_sparse:
        parts.append(f"{MERGED_FIELDS} from dense")
    return ", ".join(parts)


def _reads(block: Block) -> str:
    dense = sorted({*block.dense_inputs, *(source for source in (block.left, block.right) if source is not None)})
    parts = [("dense", dense), ("sparse", block.sparse_inputs)]
    return "; ".join(f"{name} {', '.join(map(str, sources))}" for name, sources in parts if sources)
