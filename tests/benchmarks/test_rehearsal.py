"""The rehearsal's made-up logs, and what a command takes."""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.raw_logs import avazu_log, criteo_log, hexadecimal, kdd_log
from benchmarks.rehearsal import measuring
from benchmarks.rehearsal.measuring import run, size_of
from recnas.data_prep import prepare

pytestmark = pytest.mark.slow
ROWS = 3_000


@pytest.mark.parametrize(
    ("form", "write", "least"),
    [
        ("criteo", lambda folder: criteo_log(folder, ROWS, published_sizes=True), 0.1),
        ("avazu", lambda folder: avazu_log(folder, ROWS), 0.1),
        ("kdd", lambda folder: kdd_log(folder, ROWS, 1_000), 0.01),
    ],
)
def test_a_made_up_log_is_prepared_as_it_stands(form: str, write, least: float, tmp_path: Path) -> None:
    raw = write(tmp_path)
    schema = prepare(form, tmp_path / "data", raw, progress=False)
    assert sum(schema.rows(split) for split in ("train", "validation", "test")) == ROWS
    assert least < schema.positive_rate("train") < 0.5
    before = raw.stat().st_mtime_ns
    assert write(tmp_path).stat().st_mtime_ns == before


@given(st.lists(st.none() | st.integers(0, 2**32 - 1), max_size=30))
def test_ids_are_eight_hexadecimal_digits(ids: list[int | None]) -> None:
    found = hexadecimal(pl.Series("id", ids, dtype=pl.UInt32)).to_list()
    assert found == [None if value is None else f"{value:08x}" for value in ids]


def in_a_process(program: str, **how: bool) -> str:
    """A program that runs another one."""
    return f"import subprocess, sys; subprocess.run([sys.executable, '-c', {program!r}], **{how!r})"


def test_what_a_command_takes_is_that_of_all_its_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "LOOK_EVERY", 0.05)
    program = in_a_process("x = bytearray(10**8); import time; time.sleep(1)")
    taken = run([sys.executable, "-c", program], tmp_path / "log")
    assert (taken.code, taken.kills) == (0, 0)
    assert taken.seconds > 1
    assert taken.peak > 10**8


def test_a_command_is_killed_with_all_that_it_has_started(tmp_path: Path) -> None:
    """A process in a session of its own, too."""
    begun, ended = tmp_path / "begun", tmp_path / "ended"
    inner = f"import time; open({str(begun)!r}, 'w').close(); time.sleep(3); open({str(ended)!r}, 'w').close()"
    program = in_a_process(inner, start_new_session=True)
    killed = run([sys.executable, "-c", program], tmp_path / "log", until=begun.exists)
    assert killed.code < 0
    assert not killed.is_over
    both = killed.and_then(run([sys.executable, "-c", "import time; time.sleep(4)"], tmp_path / "log"))
    assert (both.code, both.kills) == (0, 1)
    assert not ended.exists()
    assert size_of(tmp_path / "nothing") == 0
