"""Every setting of a ranking study; reading them needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from recnas.proxies.expression import SECOND_STAGE, SIGEO, Expression
from recnas.runs.settings import CodeFlag, Settings
from recnas.train.amount import Amount
from recnas.util.cores import available_cores
from recnas.util.errors import InputError
from recnas.util.setting import at_least, setting


@dataclass(frozen=True)
class StudySettings(Settings):
    """What a study does; the rest of it, warm-up, proxies and final training, is done as a search would do it.

    Unless `workers` are given, one process a core does the work.

    Attributes:
        command: What it is the settings of.
        code_flags: As in `Settings`.
        free_to_change: As in `Settings`.
    """

    command: ClassVar[str] = "study"
    # A study trains no baselines.
    code_flags: ClassVar[Mapping[str, CodeFlag]] = {
        "space": CodeFlag("--space", "search space"),
        "proxies": CodeFlag("--proxy", "ranking"),
        "rankings": CodeFlag("--ranking", "ranking"),
    }
    # What was measured may be judged anew.
    free_to_change: ClassVar[frozenset[str]] = Settings.free_to_change | {"rankings"}

    candidates: int = setting(60, help="random architectures that are trained from scratch and scored")
    seeds: int = setting(3, help="trainings of each")
    warmups: tuple[float, ...] = setting(
        (0.0, 0.01, 0.1, 1.0),
        flag="--warmup",
        help="amounts of warm-up after which they are scored, such as 0,0.01,0.1,1: shares of the training rows, or "
        "epochs",
    )
    proxies: tuple[str, ...] = setting(
        (), flag="--proxy", help="proxies to judge; none: all that recnas has; module:function is one of your own"
    )
    rankings: tuple[str, ...] = setting(
        (SIGEO, SECOND_STAGE),
        flag="--ranking",
        help="weighted sums of proxies to judge beside them, such as 'zico - 30*loss'",
    )
    shares: tuple[float, ...] = setting(
        (0.05, 0.125, 0.25, 0.5),
        help="shares of a training after which it is measured on validation too, to see how early it ranks",
    )

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
            if not Expression.parse(ranking).terms:
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
