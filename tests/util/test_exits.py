"""What a command prints and how it ends, whatever happens to it."""

from __future__ import annotations

import errno
import io
import os
import pty
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

import recnas
from recnas.cli import main
from recnas.features.feature import SparseFeature
from recnas.features.schema import Schema
from recnas.util.errors import InputError, suggested
from recnas.util.exits import exit_code


def ending(capsys: pytest.CaptureFixture[str], error: BaseException) -> tuple[int, str]:
    """Exit code and what is said of a command that raises this."""

    def fail() -> None:
        raise error

    capsys.readouterr()
    code = exit_code(fail, remedy="; go on", memory_remedy=lambda: "buy some")
    return code, capsys.readouterr().err


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        np._core._exceptions._ArrayMemoryError((10**9,), np.dtype("f8")),
        pa.ArrowMemoryError("malloc of size 10 failed"),
        OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: not enough memory: you tried"),
        RuntimeError("can't start new thread"),
        RuntimeError("Resource temporarily unavailable"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        ImportError("libtorch.so: failed to map segment from shared object: Cannot allocate memory"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_whoever_lacks_memory_is_told_of_in_one_line(capsys: pytest.CaptureFixture[str], error: Exception) -> None:
    assert ending(capsys, error) == (1, "recnas: out of memory; buy some\n")


def test_where_memory_lacks_the_largest_tables_and_smaller_ones_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = {split: {"rows": 10, "positives": 5} for split in ("train", "validation", "test")}
    rows = {"a": 2, "user": 30_000_000, "b": 100, "item": 1_000_000}
    Schema("click", (), tuple(SparseFeature(name, size) for name, size in rows.items()), counts).save(tmp_path)

    def fail(*arguments: object, **options: object) -> None:
        raise MemoryError

    monkeypatch.setattr("recnas.cli.search.run_search", fail)
    monkeypatch.setattr("recnas.data_prep.prepare", fail)
    monkeypatch.setattr("recnas.export.continue_training", fail)
    assert main(["search", "--data", str(tmp_path), "--run", "r"]) == 1
    told = capsys.readouterr().err
    tables = "user 30,000,000 × 16 = 1.9 GB, item 1,000,000 × 16 = 64.0 MB, b 100 × 16 = 6.4 kB, all together 2.0 GB"
    for text in (tables, f"`recnas plan {tmp_path} --world-size 2`", "--max-rows-per-table N", "--max-rows N"):
        assert text in told
    assert main(["train", str(tmp_path), "--data", "d", "--output", "o"]) == 1
    assert tables in (told := capsys.readouterr().err)
    assert "--max-rows-per-table" not in told
    assert main(["prepare", "criteo", "--input", "x", "--output", "d"]) == 1
    assert "recnas: out of memory; many or long columns" in (told := capsys.readouterr().err)
    assert told.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            OSError(errno.EROFS, "Read-only file system", "/run/x"),
            "/run/x: read-only file system; choose a place",
        ),
        (PermissionError(errno.EACCES, "Permission denied", b"/run/x"), "/run/x: permission denied; choose a place"),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "x"), "x: no such file or directory; check the"),
        (OSError(errno.ENOSPC, "No space left on device", "x"), "x: no space left on device; free some space"),
        (OSError("in words"), "in words"),
    ],
)
def test_what_the_system_refuses_is_told_with_place_and_remedy(
    capsys: pytest.CaptureFixture[str], error: OSError, told: str
) -> None:
    code, shown = ending(capsys, error)
    assert code == 1
    assert shown.startswith(f"recnas: {told}")
    assert shown.count("\n") == 1


def test_a_fault_of_the_program_keeps_its_stack_trace(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError, match="a fault"):
        ending(capsys, RuntimeError("a fault"))
    with pytest.raises(ImportError):
        ending(capsys, ImportError("no module"))


def test_interrupted_and_terminated_commands_say_how_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert ending(capsys, KeyboardInterrupt()) == (130, "recnas: interrupted; go on\n")

    def stop() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(10)
        finally:
            # What is done on the way out is done, though the system asks again.
            os.kill(os.getpid(), signal.SIGTERM)
            print("tidied up")

    assert exit_code(stop, remedy="; go on") == 143
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("tidied up\n", "recnas: terminated; go on\n")
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
@pytest.mark.parametrize(("command", "more"), [("evaluate", []), ("train", ["--output", "o"])])
def test_what_a_terminal_cannot_show_is_escaped(
    monkeypatch: pytest.MonkeyPatch, command: str, more: list[str], encoding: str
) -> None:
    printed = {name: io.TextIOWrapper(io.BytesIO(), encoding, errors="strict") for name in ("stdout", "stderr")}
    for name, stream in printed.items():
        monkeypatch.setattr(sys, name, stream)
    model = "m中\udcff"
    assert main([command, model, "--data", model, *more]) == 2
    printed["stderr"].flush()
    assert printed["stderr"].buffer.getvalue().startswith(b"recnas: m\\u4e2d\\udcff")


def test_names_that_a_locale_does_not_have_are_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "getfilesystemencoding", lambda: "ascii")
    error = UnicodeEncodeError("ascii", "a中", 1, 2, "ordinal not in range(128)")
    assert ending(capsys, error)[1].startswith(
        "recnas: 'a\\u4e2d': this locale has no such name of a file (ascii); set"
    )


def test_suggested_commands_can_be_given_to_a_shell(tmp_path: Path) -> None:
    odd = "a b's $HOME;*中"
    shown = suggested("printf", "%s\\n", Path(odd), Path("-x"), "--flag", 2)
    found = subprocess.run(["sh", "-c", shown], capture_output=True, text=True, check=True, cwd=tmp_path).stdout
    assert found == f"{odd}\n./-x\n--flag\n2\n"


@pytest.mark.parametrize(
    ("given", "spins"),
    [({}, "1000"), ({"OMP_WAIT_POLICY": "active"}, None), ({"GOMP_SPINCOUNT": "5"}, "5")],
)
def test_threads_that_wait_leave_the_core_to_others_unless_the_user_says_otherwise(
    given: dict[str, str], spins: str | None
) -> None:
    names = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
    environment = {name: value for name, value in os.environ.items() if name not in names} | given
    code = "import os, sys, recnas; print(os.environ.get('GOMP_SPINCOUNT'), 'torch' in sys.modules)"
    found = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert found.split() == [str(spins), "False"]


def test_a_folder_that_cannot_be_made_is_one_line_for_every_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log.csv"
    log.write_text("click,user\n" + "0,a\n1,b\n" * 100)
    roles = ["--label", "click", "--sparse", "user", "--quiet"]
    prepare = ["prepare", "tabular", "--input", str(log), *roles, "--output"]
    assert main([*prepare, str(tmp_path / "data")]) == 0
    for command in (prepare, ["search", "--proxy-batch-size", "8", "--data", str(tmp_path / "data"), "--run"]):
        capsys.readouterr()
        assert main([*command, "/proc/nothing/there"]) == 2
        told = capsys.readouterr().err.splitlines()[-1]
        assert told.startswith("recnas: /proc/nothing/there: cannot be made")
    with pytest.raises(InputError, match="cannot be made"):
        recnas.prepare("tabular", "/proc/nothing/there", input=log, label="click", sparse=["user"], progress=False)


def test_ctrl_c_at_the_question_whether_to_prepare_ends_the_command(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text("label,user\n" + "".join(f"{row % 2},{row % 7}\n" for row in range(40)))
    program, terminal = pty.fork()
    if not program:
        os.execvp(
            sys.executable,
            [
                sys.executable,
                "-m",
                "recnas",
                "prepare",
                "tabular",
                "--input",
                str(log),
                "--output",
                str(tmp_path / "d"),
            ],
        )
    said = b""
    with suppress(OSError):  # which is what a terminal's end is
        while True:
            assert select.select([terminal], [], [], 60)[0], "it still waits for an answer"
            before, said = said, said + os.read(terminal, 4096)
            if b"[y/N]" in said and b"[y/N]" not in before:
                time.sleep(0.5)
                os.write(terminal, b"\x03")
    assert os.waitstatus_to_exitcode(os.waitpid(program, 0)[1]) == 130
    assert said.endswith(b"recnas: interrupted\r\n")
    assert not (tmp_path / "d").exists()


def test_a_reader_that_has_seen_enough_ends_a_command_without_a_word() -> None:
    printing = "from recnas.util.exits import exit_code; import sys; sys.exit(exit_code(lambda: print('x' * 10**6)))"
    with subprocess.Popen(
        [sys.executable, "-c", printing], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.read(10) == "x" * 10
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 141


def test_a_pipe_to_another_process_that_is_gone_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    def lose() -> None:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    assert exit_code(lose) == 1
    assert capfd.readouterr().err == "recnas: [Errno 32] Broken pipe\n"
