"""Cores that a process may use: a container's quota counts."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recnas.util import cores
from recnas.util.cores import available_cores, keep_to_quota, quota


def system(root: Path, groups: str, files: dict[str, str]) -> Path:
    """The files of a system on which this process is in these groups."""
    for name, text in ({"proc/self/cgroup": groups} | files).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize(
    ("groups", "files", "expected"),
    [
        ("0::/\n", {"sys/fs/cgroup/cpu.max": "150000 100000\n"}, 1.5),
        ("0::/\n", {"sys/fs/cgroup/cpu.max": "max 100000\n"}, math.inf),
        ("0::/a/b\n", {"sys/fs/cgroup/a/cpu.max": "200000 100000", "sys/fs/cgroup/a/b/cpu.max": "max 100000"}, 2),
        ("0::/outside/name\n", {"sys/fs/cgroup/cpu.max": "50000 100000"}, 0.5),
        (
            "2:cpuacct:/\n1:cpu,cpuacct:/docker/1\n",
            {"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "400000\n", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n"},
            4,
        ),
        (
            "1:cpu:/\n",
            {"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "1"},
            math.inf,
        ),
        ("0::/\n", {"sys/fs/cgroup/cpu.max": "no numbers at all"}, math.inf),
        ("0::/\n", {}, math.inf),
        ("a line of another form\n", {"sys/fs/cgroup/cpu.max": "100000 100000"}, math.inf),
    ],
)
def test_the_least_quota_of_all_groups_counts(
    tmp_path: Path, groups: str, files: dict[str, str], expected: float
) -> None:
    assert quota(system(tmp_path, groups, files)) == expected


def test_without_control_groups_there_is_none(tmp_path: Path) -> None:
    assert quota(tmp_path) == math.inf


@given(st.floats(0.01, 1e6))
def test_cores_are_whole_at_least_one_and_at_most_those_that_there_are(worth: float) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cores, "quota", lambda: worth)
        found = available_cores()
    assert 1 <= found <= len(os.sched_getaffinity(0))
    assert found >= min(worth, len(os.sched_getaffinity(0)))


def test_libraries_start_no_more_threads_than_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {"POLARS_MAX_THREADS": "7"})
    monkeypatch.setattr(sys, "modules", {})
    monkeypatch.setattr(cores, "quota", lambda: math.inf)
    keep_to_quota()
    assert "OMP_NUM_THREADS" not in os.environ
    monkeypatch.setattr(cores, "_own_cores", lambda: 64)
    monkeypatch.setattr(cores, "quota", lambda: 2.5)
    keep_to_quota()
    assert os.environ == {"OMP_NUM_THREADS": "3", "POLARS_MAX_THREADS": "7", "NUMBA_NUM_THREADS": "3"}


def test_what_is_loaded_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numba looks at its variable again later, and does not bear another number."""
    monkeypatch.setattr(os, "environ", {})
    monkeypatch.setattr(sys, "modules", {"numba": None})
    monkeypatch.setattr(cores, "_own_cores", lambda: 64)
    monkeypatch.setattr(cores, "quota", lambda: 2.0)
    keep_to_quota()
    assert "NUMBA_NUM_THREADS" not in os.environ
