"""Baselines: published models that searched ones are compared with, one file each, and their titles. Needs no torch.

To add one: a file with a class that `registry.baseline` declares, and its name and title here. One of a user's own is
named `module:Class` wherever a baseline is named, and is in no list.
"""

from __future__ import annotations

from recnas.util.errors import InputError
from recnas.util.user_code import is_user_code

TITLES = {
    "lr": "LR",
    "dlrm": "DLRM",
    "deepfm": "DeepFM",
    "xdeepfm": "xDeepFM",
    "autoint+": "AutoInt+",
    "dcnv2": "DCN-V2",
    "finalmlp": "FinalMLP",
}
"""What a person calls each, by its name in settings and folders."""


def check_baseline_name(name: str) -> None:
    """Checks what `registry.find_baseline` would be given, and imports nothing.

    Raises:
        InputError: It is none of `TITLES`, nor written as `module:Class`.
    """
    if not isinstance(name, str) or (name not in TITLES and not is_user_code(name)):
        raise InputError(
            f"no baseline is named {name!r}; known are {', '.join(TITLES)}, and module:Class for one of your own"
        )


def baseline_title(name: str) -> str:
    """A baseline's title, such as DCN-V2; of a user's own without one, the name of its class."""
    return TITLES.get(name) or name.rpartition(":")[2]
