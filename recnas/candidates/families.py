"""Families of baselines: published models by name, their titles and the choices that each leaves. Needs no torch.

To add one of networks: a class that `recnas.nn.baselines.registry.baseline` declares, in a file of its own in that
package, and its entry here. One of a user's own is named `module:Class` wherever a family is named, and has no entry.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from recnas.util.documents import shortened
from recnas.util.errors import InputError
from recnas.util.user_code import is_user_code

Choice = int | float | str | tuple[int, ...]
"""The value of a choice: a number, a word, or the widths of layers."""


@dataclass(frozen=True)
class Family:
    """A family of baselines.

    Attributes:
        title: What a person calls it.
        choices: By the name of each choice its values, the default first.
        usual: Whether a search has it where no space is named.
    """

    title: str
    choices: Mapping[str, tuple[Choice, ...]] = field(default_factory=dict)
    usual: bool = True


def _hidden(default: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """Columns of a deep part's layers, the default first."""
    usual = ((256, 128), (400, 400), (400, 400, 400), (768, 768), (1000, 1000, 1000))
    return (default, *(widths for widths in usual if widths != default))


_NORM = ("none", "batch", "layer")
"""What stands before the activations of hidden layers."""

FAMILIES: dict[str, Family] = {
    "lr": Family("LR"),
    "dnn": Family("DNN", {"hidden": _hidden((400, 400, 400)), "norm": _NORM}),
    "dlrm": Family(
        "DLRM",
        {
            "bottom": ((512, 256, 64), (256, 64), (64,)),
            "top": ((512, 256), (256, 128), (1024, 512, 256)),
            "norm": _NORM,
        },
    ),
    "deepfm": Family("DeepFM", {"hidden": _hidden((400, 400, 400)), "norm": _NORM}),
    "xdeepfm": Family(
        "xDeepFM",
        {
            "feature_maps": ((200, 200, 200), (100, 100), (64, 64), (32, 32, 32)),
            "hidden": _hidden((400, 400)),
            "norm": _NORM,
        },
    ),
    "autoint+": Family(
        "AutoInt+",
        {
            "layers": (3, 1, 2, 4),
            "heads": (2, 1, 4),
            "head_dim": (32, 16, 64),
            "hidden": _hidden((400, 400)),
            "norm": _NORM,
        },
    ),
    "fibinet": Family(
        "FiBiNET",
        {
            "bilinear": ("pairs", "each", "all"),
            "reduction": (3, 1, 8),
            "hidden": _hidden((400, 400, 400)),
            "norm": _NORM,
        },
    ),
    "dcnv2": Family(
        "DCN-V2",
        {
            "layers": (3, 1, 2, 4, 5, 6),
            "structure": ("parallel", "stacked"),
            "rank": (0, 32, 64, 128),
            "hidden": _hidden((768, 768)),
            "norm": _NORM,
        },
    ),
    "masknet": Family(
        "MaskNet",
        {
            "structure": ("serial", "parallel"),
            "hidden": _hidden((400, 400, 400)),
            "blocks": (3, 1, 2, 5),
            "block_dim": (64, 128, 256),
            "reduction": (1.0, 0.2, 2.0),
            "norm": ("layer", "none", "batch"),
            "field_norm": ("layer", "none"),
        },
    ),
    "gdcn": Family("GDCN", {"layers": (3, 1, 2, 4, 5), "hidden": _hidden((400, 400, 400)), "norm": _NORM}),
    "finalmlp": Family(
        "FinalMLP",
        {
            "hidden": _hidden((400, 400, 400)),
            "second": ((400, 400, 400), (128,), (400,), (800,)),
            "gate_hidden": (64, 400, 800),
            "heads": (1, 2, 4, 8),
            "norm": _NORM,
        },
    ),
    "finalnet": Family(
        "FinalNet",
        {
            "hidden": ((400, 400), (400,), (400, 400, 400), (800,), (1000, 1000)),
            "second": ((400, 400), (400,), (800,)),
            "blocks": (2, 1),
            "gates": ("fields", "none"),
            "norm": ("batch", "none", "layer"),
        },
    ),
    "fcn": Family("FCN", {"layers": (3, 1, 2, 4), "linear_layers": (4, 2, 3, 5), "norm": ("layer", "none", "batch")}),
    "qnn": Family("QNN-α", {"layers": (3, 1, 2, 4), "rows": (3, 1, 2, 4), "norm": ("batch", "none", "layer")}),
    # It has a search of its own before each training.
    "profit": Family("PROFIT", {"order": (3, 2, 4), "rank": (1, 2, 4, 8), "kept": (32, 8, 16, 64, 128)}, usual=False),
}
"""Those of networks, each by its name in settings and folders."""
USUAL_FAMILIES = tuple(name for name, family in FAMILIES.items() if family.usual)
"""Those that are searched where no space is named."""

TREES: dict[str, Family] = {
    "lightgbm": Family(
        "LightGBM",
        {
            "num_leaves": ("auto", 8, 15, 31, 63, 90, 127, 255, 511),
            "learning_rate": (0.05, 0.01, 0.02, 0.03, 0.1),
            "min_child_samples": (100, 20, 50, 200),
            "cat_smooth": ("auto", 3, 5, 10, 20, 50, 100, 200, 400),
            "cat_l2": (50, 10, 20, 100, 200),
            "min_data_per_group": (100, 10, 50, 200),
            "max_cat_threshold": (128, 32, 64, 256, 512),
            "feature_fraction": (0.4, 0.6, 0.8, 1.0),
            "bagging_fraction": (1.0, 0.6, 0.8),
            "lambda_l2": (1.0, 0.0, 10.0),
        },
    ),
    "catboost": Family(
        "CatBoost",
        {
            "depth": (8, 4, 6, 10),
            "learning_rate": (0.1, 0.03, 0.05, 0.2),
            "l2_leaf_reg": (3, 1, 10, 30),
            "max_ctr_complexity": (2, 1, 3, 4),
            "one_hot_max_size": (32, 2, 8, 128),
            "random_strength": (1.0, 0.0, 3.0),
            "bagging_temperature": (1.0, 0.0, 3.0),
        },
    ),
}
"""Those of gradient-boosted trees, likewise; choices are the libraries' parameters. `recnas.trees` grows them."""
USUAL_TREES = "lightgbm"
"""The one of them that a search tries where nothing else is said; the other needs an extra."""


def find_family(name: str) -> Family | None:
    """A family by its name; None for code of a user's own, of which nothing is known here."""
    return FAMILIES.get(name) or TREES.get(name)


def check_family_name(name: str) -> None:
    """Checks the name of a family, and imports nothing.

    Raises:
        InputError: It is none of `FAMILIES` and `TREES`, nor written as `module:Class`.
    """
    if not isinstance(name, str) or (find_family(name) is None and not is_user_code(name)):
        known = ", ".join((*FAMILIES, *TREES))
        raise InputError(f"no baseline is named {name!r}; known are {known}, and module:Class for one of your own")


def family_title(name: str) -> str:
    """A family's title, such as DCN-V2; of a user's own without one, the name of its class."""
    family = find_family(name)
    return name.rpartition(":")[2] if family is None else family.title


def with_defaults(name: str, table: Mapping[str, tuple[Choice, ...]], given: Mapping[str, Choice]) -> dict[str, Choice]:
    """A value for every choice of a family, in its table's order: the given one, or the default.

    Args:
        name: The family's, for messages.
        table: Its choices.
        given: Values by the names of choices.

    Raises:
        InputError: There is no such choice or value.
    """
    for key in given:
        if key not in table:
            known = f"its choices are {', '.join(table)}" if table else "it leaves none"
            raise InputError(f"{name} has no choice {shortened(key)}; {known}")
    return {key: _of_table(f"{name}: {key}", given.get(key, values[0]), values) for key, values in table.items()}


def plain_choices(given: Any) -> dict[str, Choice]:
    """Choices by name, in the order of names, lists made tuples.

    Args:
        given: A mapping, or pairs of name and value.

    Raises:
        InputError: A name or a value is of another kind than choices have.
    """
    try:
        choices = {key: tuple(value) if isinstance(value, list) else value for key, value in dict(given).items()}
    except (TypeError, ValueError):
        raise InputError(f"choices are {shortened(given)} where names with values are expected") from None
    for key, value in choices.items():
        items = value if isinstance(value, tuple) else (value,)
        kinds = int if isinstance(value, tuple) else int | float | str
        if not isinstance(key, str) or not all(isinstance(item, kinds) and _is_plain(item) for item in items):
            raise InputError(f"choice {shortened(key)} is {shortened(value)}; it must be a number, a word or widths")
    return dict(sorted(choices.items()))


def written(value: Choice) -> str:
    """A choice's value as a person writes it: 400-400-400, 3, batch."""
    return "-".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _is_plain(item: Any) -> bool:
    return not isinstance(item, bool) and (isinstance(item, str) or math.isfinite(item))


def _of_table(what: str, value: Choice, values: tuple[Choice, ...]) -> Choice:
    """The table's own among equal values: 1.0 is 1."""
    if value not in values:
        raise InputError(f"{what} is {shortened(value)}; it must be {' or '.join(map(written, values))}")
    return values[values.index(value)]
