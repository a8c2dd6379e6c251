"""Every setting of a table of trained candidates; reading them needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from recnas.candidates.families import FAMILIES
from recnas.candidates.limits import LimitSettings
from recnas.runs.settings import CodeFlag, ProxySettings
from recnas.study.settings import StudySettings
from recnas.util.errors import InputError
from recnas.util.setting import group, setting

NETWORKS, RECIPES = "networks", "recipes"
"""What varies in a table."""
USUAL_SPACE = "nasrec-wide"


@dataclass(frozen=True)
class TableSettings(StudySettings):
    """What a table of trained candidates holds; each is trained, measured and scored as a study would do it.

    Attributes:
        command: What it is the settings of.
        code_flags: As in `Settings`.
        free_to_change: As in `Settings`.
    """

    command: ClassVar[str] = "bench"
    code_flags: ClassVar[Mapping[str, CodeFlag]] = {
        "space": CodeFlag("--space", "search space"),
        "proxies": CodeFlag("--proxy", "ranking"),
    }
    # A larger table begins with what a smaller one has.
    free_to_change: ClassVar[frozenset[str]] = StudySettings.free_to_change | {"candidates", "seeds"}

    space: str | None = setting(
        USUAL_SPACE,
        help="search space of blocks, whose architectures vary; module:function gives one of your own",
    )
    recipes_of: tuple[str, ...] = setting(
        (),
        flag="--recipes-of",
        help="families of networks whose choices, recipes and inputs vary in the place of architectures, such as "
        "deepfm,dcnv2,finalnet",
    )
    candidates: int = setting(600, help="random candidates that are trained from scratch")
    seeds: int = setting(2, help="trainings of each")
    shares: tuple[float, ...] = setting(
        (0.025, 0.05, 0.1, 0.2),
        help="shares of a whole training after which it is measured, besides where its recipe asks for it",
    )
    rankings: tuple[str, ...] = setting((), flag="--ranking", help="weighted sums of proxies to measure beside them")
    proxy: ProxySettings = field(
        default_factory=lambda: ProxySettings(tune_steps=50), metadata=group("ranking without training", "proxy-")
    )
    limits: LimitSettings = field(default_factory=lambda: LimitSettings(max_macs=1_000_000), metadata=group("limits"))

    def __post_init__(self) -> None:
        super().__post_init__()
        if others := [name for name in self.limits.bounds if name != "macs"]:
            raise InputError(f"a table has a limit on macs alone, not on {others[0]}, which simulations cannot tell")
        if unknown := [name for name in self.recipes_of if name not in FAMILIES]:
            raise InputError(f"recipes_of has {unknown[0]!r}; families of networks are {', '.join(FAMILIES)}")
        if len(set(self.recipes_of)) < len(self.recipes_of):
            raise InputError(f"recipes_of has a family twice: {', '.join(self.recipes_of)}")

    @property
    def varies(self) -> str:
        """What differs from candidate to candidate: networks, or recipes with inputs."""
        return RECIPES if self.recipes_of else NETWORKS
