"""Candidates and trainings of every kind, for properties."""

from __future__ import annotations

import random

from hypothesis import strategies as st

from recnas.candidates.candidate import Candidate
from recnas.candidates.embedding_optimizer import NAMES
from recnas.candidates.evaluation import Epoch, Quality, Training
from recnas.candidates.network import Baseline
from recnas.candidates.recipe import OPTIMIZERS, SCHEDULES, Optimization, Recipe
from recnas.features.inputs import NUMBERS, Inputs
from recnas.space import SPACES, SearchSpace

POSITIVE = st.floats(1e-6, 1e6) | st.integers(1, 10**6)
LOSSES = st.floats(0.01, 10)

ARCHITECTURES = st.builds(
    lambda space, seed: SearchSpace.named(space).sample(random.Random(seed)),
    st.sampled_from(list(SPACES)),
    st.integers(0, 20),
)
CHOICES = st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text() | st.tuples(st.integers())
BASELINES = st.builds(Baseline, st.sampled_from(["lr", "autoint+"])) | st.builds(
    Baseline, st.just("my.models:TwoTower"), st.dictionaries(st.text(), CHOICES, max_size=3)
)
RECIPES = st.builds(
    Recipe,
    st.builds(
        Optimization,
        learning_rate=POSITIVE,
        batch_size=st.integers(1, 10**6),
        eps=st.none() | POSITIVE,
        embedding_optimizer=st.sampled_from(NAMES),
        optimizer=st.sampled_from(OPTIMIZERS),
        embedding_rate=POSITIVE,
        embedding_eps=st.none() | POSITIVE,
        embedding_penalty=st.floats(0, 1),
        cross_penalty=st.none() | st.floats(0, 1),
        weight_decay=st.floats(0, 1),
        schedule=st.sampled_from(SCHEDULES),
        lr_warmup_share=st.floats(0, 0.9),
        fan_in_scale=st.none() | st.floats(1, 1e6),
        clip=st.none() | POSITIVE,
    ),
    st.integers(1, 100),
    st.integers(1, 8),
    st.none() | st.integers(1, 8),
    st.none() | st.floats(0, 0.9),
    st.integers(1, 16).map(lambda quarter: 4 * quarter),
    st.none() | POSITIVE,
)
INPUTS = st.builds(
    Inputs,
    st.lists(st.sampled_from(NUMBERS), unique=True).map(tuple),
    bins=st.integers(16, 1024),
    crosses=st.lists(st.sampled_from(["a:b", "b:c:d"])).map(tuple),
    min_count=st.integers(1, 10),
)
CANDIDATES = st.builds(Candidate, ARCHITECTURES | BASELINES, RECIPES, INPUTS)


def training_of(losses: list[float], rows: int, diverged: bool, finished: bool) -> Training:
    """A training that was measured after so many rows each time, every second time at the end of a pass."""
    epochs = tuple(
        Epoch(0.1, place / 2, place * rows, 0.6, Quality(loss, 0.5), float(place), place % 2 == 0)
        for place, loss in enumerate(losses, start=1)
    )
    return Training(epochs, finished and not diverged, "nan" if diverged else None, float(len(losses)), 10)


TRAININGS = st.builds(training_of, st.lists(LOSSES, max_size=6), st.integers(1, 10**6), st.booleans(), st.booleans())
