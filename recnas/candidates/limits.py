"""What the user can afford: limits on what a model costs."""

from __future__ import annotations

from dataclasses import dataclass

from recnas.space import Architecture, cost
from recnas.util.errors import InputError
from recnas.util.setting import setting

COSTS = ("macs", "parameters", "latency")
"""What a model costs, the cheapest to find out first."""
MOST_THREADS = 1024


@dataclass(frozen=True)
class LimitSettings:
    """Upper bounds on what a candidate costs on the data set's own features; None for no bound.

    Parts that do not reach the logit are not counted. Latency is the median of several predictions, lookups included.

    Raises:
        InputError: A value is out of its range.
    """

    max_macs: int | None = setting(
        None,
        help="limit on the multiply-accumulates a row of a candidate, such as 2M; none: no limit",
        former_name="max_flops",
    )
    max_parameters: int | None = setting(None, help="limit on its parameters outside the tables; none: no limit")
    max_latency_ms: float | None = setting(
        None, help="limit on its time to predict one batch on this machine, in milliseconds; none: no limit"
    )
    latency_batch: int = setting(512, help="rows of that batch")
    latency_threads: int = setting(1, help="threads that it is timed with, whatever the rest of the search uses")

    def __post_init__(self) -> None:
        for name in ("max_macs", "max_parameters", "max_latency_ms"):
            # Not a number is not above 0 either.
            if (value := getattr(self, name)) is not None and not value > 0:
                raise InputError(f"{name} is {value}; it must be above 0, or none for no limit")
        for name in ("latency_batch", "latency_threads"):
            if (value := getattr(self, name)) < 1:
                raise InputError(f"{name} is {value}; it must be 1 or more")
        if self.latency_threads > MOST_THREADS:
            raise InputError(f"latency_threads is {self.latency_threads}; it must be {MOST_THREADS} or less")

    @property
    def bounds(self) -> dict[str, float]:
        """The bound of each cost of `COSTS` that has one."""
        bounds = dict(zip(COSTS, (self.max_macs, self.max_parameters, self.max_latency_ms), strict=True))
        return {name: bound for name, bound in bounds.items() if bound is not None}

    def admits(self, arch: Architecture, dense: int, fields: int, embedding_dim: int) -> bool:
        """Whether what is counted of an architecture is within the bounds; see `recnas.space.cost`."""
        counted = {name: bound for name, bound in self.bounds.items() if name in cost.COUNTS}
        return all(cost.COUNTS[name](arch, dense, fields, embedding_dim) <= bound for name, bound in counted.items())

    def exceeded(self, costs: dict[str, float | None]) -> list[str]:
        """The names of those costs that are above their bounds; one that is not known is not."""
        return [name for name, bound in self.bounds.items() if (cost := costs[name]) is not None and cost > bound]
