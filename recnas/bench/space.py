"""What the candidates of a table are drawn from. Needs no torch."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from recnas.candidates.joint_space import JointSpace
from recnas.candidates.recipe import Recipe
from recnas.features.inputs import Inputs
from recnas.space import SearchSpace
from recnas.util.errors import InputError
from recnas.util.user_code import is_user_code


@dataclass(frozen=True)
class TableSpace:
    """What the candidates of a table are drawn from, as plain values: a table carries it.

    Attributes:
        families: Those whose recipes vary; empty where architectures do.
        space: The name of the space of blocks; None where recipes vary.
        joint_ids: Features that may have a joint id, the most promising first.
        droppable: Features that may be left out, the least useful first.
        no_choice: Places of `RECIPE_CHOICES` in which all candidates are alike.
        recipe: Of architectures, as `Recipe.to_json` has it.
        inputs: Likewise.
    """

    families: tuple[str, ...]
    space: str | None
    joint_ids: tuple[str, ...]
    droppable: tuple[str, ...]
    no_choice: tuple[str, ...]
    recipe: dict[str, Any]
    inputs: dict[str, Any]

    @cached_property
    def joint(self) -> JointSpace:
        """The space that a strategy searches.

        Raises:
            InputError: It is code of a user's own, which was not imported: a table from elsewhere runs none.
        """
        if self.space is not None and is_user_code(self.space):
            module = self.space.partition(":")[0]
            if module not in sys.modules:
                raise InputError(
                    f"the table's search space {self.space} is code of the module {module}; import it before, or give "
                    f"--code {module}"
                )
        return JointSpace(
            self.families,
            None if self.space is None else SearchSpace.named(self.space),
            self.joint_ids,
            (),
            Recipe.from_json(self.recipe),
            Inputs.from_json(self.inputs),
            self.droppable,
            self.no_choice,
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> TableSpace:
        """Reads what `to_json` wrote."""
        return cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})
