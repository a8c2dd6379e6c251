"""The README of an exported ensemble."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from recnas.candidates.network import Network
from recnas.export.onnx import OUTPUT, input_names
from recnas.export.record import TrainingRecord
from recnas.export.rows_code import example_lines
from recnas.export.templates import render
from recnas.export.words import inputs_in_words
from recnas.features.ensemble_file import EnsembleFile
from recnas.features.schema import Schema
from recnas.nn.networks import title_of


def render_ensemble_readme(
    schema: Schema,
    file: EnsembleFile,
    members: Sequence[tuple[Network, Schema, TrainingRecord]],
    record: TrainingRecord,
    formats: Collection[str],
    has_program: bool,
) -> str:
    """Markdown that says what an ensemble is, how good it is, and how to use it.

    Args:
        schema: The features of a data set for it.
        file: Its weights, and which members are fed alike.
        members: What each member is, what it is fed, and how it was trained.
        record: How good the ensemble was.
        formats: What was written besides the program.
        has_program: Whether there is one.
    """
    schemas = [members[place][1] for place in file.first_fed]
    return render(
        "ensemble-readme.md",
        members=[
            {
                "number": number,
                "title": title_of(network),
                "weight": weight,
                "inputs": fed + 1,
                "validation": trained.stages[-1].validation,
            }
            for number, ((network, _, trained), weight, fed) in enumerate(
                zip(members, file.weights, file.inputs, strict=True), start=1
            )
        ],
        fed=[inputs_in_words(schema) for schema in schemas],
        unreadable=schema.unreadable,
        example=example_lines(schema),
        stages=record.stages,
        latest=record.stages[-1],
        quantization=record.quantization,
        formats=formats,
        has_program=has_program,
        onnx_inputs=input_names(schemas),
        onnx_output=OUTPUT,
    )
