"""How many cores there are to share."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path

THREADS = {
    "OMP_NUM_THREADS": "torch",
    "POLARS_MAX_THREADS": "polars",
    "NUMBA_NUM_THREADS": "numba",
}
"""What libraries that compute read, when they are loaded, as the number of their threads."""


def available_cores() -> int:
    """Cores that this process may use: those that it may run on, and no more than a container's quota is worth."""
    return max(1, math.ceil(min(_own_cores(), quota())))


def quota(root: Path = Path("/")) -> float:
    """Cores' worth of time that this process's control groups may have; infinite where there is no bound, or no Linux.

    Args:
        root: Of the file system, for tests.
    """
    return min(_quotas(root), default=math.inf)


def keep_to_quota() -> None:
    """Has libraries that are loaded from now on start no more threads than the quota is worth.

    They count the cores of the machine: under a quota of two on 64 cores, 64 threads run for a moment, and all wait for
    the next one. What the user has set stays.
    """
    if available_cores() < _own_cores():
        for name, library in THREADS.items():
            # Numba reads it again later, and fails where it is another number than before.
            if library not in sys.modules:
                os.environ.setdefault(name, str(available_cores()))


def _own_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _quotas(root: Path) -> Iterator[float]:
    """Those of all groups that this process is in, the groups around them included, in either version's files."""
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return
    for line in lines:
        if line.count(":") < 2:
            continue
        _, controllers, path = line.split(":", 2)
        mounts = ["", "unified"] if not controllers else [controllers, "cpu"] if "cpu" in controllers.split(",") else []
        for mount in mounts:
            top = root / "sys/fs/cgroup" / mount
            group = top / path.lstrip("/")
            # A container may see its own group as the top, and name it as it is called outside.
            for folder in (group, *group.parents):
                yield from _quota_of(folder)
                if folder == top:
                    break


def _quota_of(group: Path) -> Iterator[float]:
    try:
        if (file := group / "cpu.max").exists():
            most, period = file.read_text(encoding="ascii").split()
        else:
            most = (group / "cpu.cfs_quota_us").read_text(encoding="ascii").strip()
            period = (group / "cpu.cfs_period_us").read_text(encoding="ascii").strip()
        # Without a bound it is "max", or -1.
        if most != "max" and int(most) > 0 and int(period) > 0:
            yield int(most) / int(period)
    except (OSError, ValueError):
        # There is no such file here, or it has another form.
        return
