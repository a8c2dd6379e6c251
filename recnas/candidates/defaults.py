"""The recipe and inputs that are taken where nothing else is said: good on every data set that they were tried on.

docs/recipes.md says how they were found.
"""

from __future__ import annotations

from recnas.candidates.candidate import Candidate
from recnas.candidates.network import Baseline
from recnas.candidates.recipe import Optimization, Recipe
from recnas.features.inputs import Inputs

DEFAULT_INPUTS = Inputs(numbers=("columns", "bins"))
DEFAULT_RECIPE = Recipe(
    Optimization(
        learning_rate=3e-3,
        batch_size=1024,
        optimizer="adam",
        embedding_optimizer="adam",
        embedding_rate=10.0,
        embedding_penalty=2e-4,
        schedule="plateau",
        lr_warmup_share=0.0,
        clip=10.0,
    ),
    epochs=10,
    evaluations=2,
    patience=3,
    dropout=0.2,
)


def own_candidate(family: str) -> Candidate:
    """A baseline with the choices, inputs and recipe that are its family's own: good ones, as far as is known."""
    return Candidate(Baseline(family), DEFAULT_RECIPE, DEFAULT_INPUTS)
