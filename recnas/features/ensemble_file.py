"""`ensemble.json`: of which models an exported ensemble is made, and what each is fed. Needs no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from recnas.features.schema import Schema
from recnas.util import export_forms
from recnas.util.errors import InputError
from recnas.util.files import read_json, write_json

FILE_NAME = "ensemble.json"
MEMBERS = "members"
"""The folder in which each member has its own, named by its number from 1."""
VERSION = 1
REMEDY = "export the ensemble again"


@dataclass(frozen=True)
class EnsembleFile:
    """Members of an exported ensemble, in order.

    Attributes:
        weights: The share of each in the mean of their probabilities; their sum is 1.
        inputs: What each is fed, by a number from 0: members with the same number are fed the same.
    """

    weights: tuple[float, ...]
    inputs: tuple[int, ...]

    @classmethod
    def of(cls, weights: tuple[float, ...], schemas: tuple[Schema, ...]) -> EnsembleFile:
        """That of members which are fed what their schemas say; equal ones are found."""
        distinct: list[Schema] = []
        for schema in schemas:
            if schema not in distinct:
                distinct.append(schema)
        return cls(weights, tuple(distinct.index(schema) for schema in schemas))

    @property
    def first_fed(self) -> list[int]:
        """Of all that are fed alike the place of the first, in the order of the numbers."""
        return [self.inputs.index(number) for number in range(len(set(self.inputs)))]

    def save(self, folder: Path) -> None:
        """Writes it into an exported folder."""
        members = [
            {"folder": f"{MEMBERS}/{number}", "weight": weight, "inputs": inputs}
            for number, (weight, inputs) in enumerate(zip(self.weights, self.inputs, strict=True), start=1)
        ]
        write_json(folder / FILE_NAME, {"version": VERSION, "members": members})

    @classmethod
    def load(cls, folder: Path) -> EnsembleFile:
        """Reads what `save` wrote.

        Raises:
            InputError: The file is missing or damaged.
        """
        file = folder / FILE_NAME
        values = read_json(file, "`recnas export` writes it", export_forms.Ensemble)
        members = values["members"]
        if values["version"] != VERSION:
            raise InputError(f"{file}: version {values['version']!r} where {VERSION} is expected; {REMEDY}")
        weights = tuple(float(member["weight"]) for member in members)
        inputs = tuple(member["inputs"] for member in members)
        named = [f"{MEMBERS}/{number}" for number in range(1, len(members) + 1)]
        if (
            [member["folder"] for member in members] != named
            or not math.isclose(sum(weights), 1, abs_tol=1e-6)
            or list(dict.fromkeys(inputs)) != list(range(len(set(inputs))))
        ):
            raise InputError(f"{file}: damaged; {REMEDY}")
        return cls(weights, inputs)


def is_ensemble(folder: Path) -> bool:
    """Whether a folder is an exported ensemble."""
    return (folder / FILE_NAME).is_file()


def member_folder(folder: Path, place: int) -> Path:
    """Where the member of this place, from 0, is in an ensemble's folder."""
    return folder / MEMBERS / str(place + 1)


def input_schemas(folder: Path) -> list[Schema]:
    """What the program of an exported model takes, as schemas: of a single model its own, of an ensemble one for each
    way in which members are fed. Raw rows are encoded by each, and their arrays stand one behind the other.

    Raises:
        InputError: A file is missing or damaged.

    Example:
        schemas = input_schemas(Path("models/criteo"))
        arrays = [array for schema in schemas for array in schema.encode(rows).arrays]
    """
    if not is_ensemble(folder):
        return [Schema.load(folder)]
    return [Schema.load(member_folder(folder, place)) for place in EnsembleFile.load(folder).first_fed]
