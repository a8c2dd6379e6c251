"""Every setting of a ranking study; reading them needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from recnas.proxies.expression import SECOND_LOOK, SIGEO, Expression
from recnas.runs.settings import CodeFlag, Settings, at_least
from recnas.train.amount import Amount
from recnas.util.cores import available_cores
from recnas.util.errors import InputError


@dataclass(frozen=True)
class StudySettings(Settings):
    """What a study does; the rest of it, warm-up, proxies and final training, is done as a search would do it.

    Attributes:
        command: What it is the settings of.
        code_flags: As in `Settings`.
        candidates: Random architectures that are trained from scratch and scored.
        seeds: Trainings of each.
        warmups: Amounts of warm-up (see `WarmupSettings.amount`) after which they are scored.
        proxies: By name; empty for every one that recnas has.
        rankings: Weighted sums of proxies, judged beside the proxies themselves.
        shares: Shares of a training after which it is measured on validation, to see how early it can be judged.
        workers: Processes that score and train; none: one a core.
    """

    command: ClassVar[str] = "study"
    # A study trains no baselines.
    code_flags: ClassVar[Mapping[str, CodeFlag]] = {
        "space": CodeFlag("--space", "search space"),
        "proxies": CodeFlag("--proxy", "ranking"),
        "rankings": CodeFlag("--ranking", "ranking"),
    }

    candidates: int = 60
    seeds: int = 3
    warmups: tuple[float, ...] = (0.0, 0.01, 0.1, 1.0)
    proxies: tuple[str, ...] = ()
    rankings: tuple[str, ...] = (SIGEO, SECOND_LOOK)
    shares: tuple[float, ...] = (0.05, 0.125, 0.25, 0.5)

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, candidates=4, seeds=1)
        if self.limits.max_latency_ms is not None:
            raise InputError("a study has no limit on latency; leave max_latency_ms out")
        if not self.warmups:
            raise InputError("warmups are empty; give one at least, such as --warmup 0.01")
        for amount in self.warmups:
            Amount(amount)
        for ranking in self.rankings:
            if not Expression.parse(ranking).weights:
                raise InputError(f"rankings have {ranking!r}, which ranks nothing; leave it out")
        for name in ("warmups", "proxies", "rankings", "shares"):
            values = [value if isinstance(value, str) else f"{value:g}" for value in getattr(self, name)]
            if twice := [value for value in values if values.count(value) > 1]:
                raise InputError(f"{name} have {twice[0]} twice")
        if any(not 0 < share < 1 for share in self.shares):
            raise InputError("shares are above 0 and below 1")

    @property
    def processes(self) -> int:
        return self.workers or available_cores()
