from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recnas.util.errors import RunError
from recnas.util.files import read_lines, replacing, write_text


def test_a_write_that_fails_is_said_and_leaves_the_file_of_before(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "file.json"
    write_text(path, "before")
    writing = replacing(path)
    writing.__enter__().write_text("half")
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(RunError, match=r"file\.json: the disk is full; free some space"):
        writing.__exit__(OSError, full, None)
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match=r"inner: cannot be written \(File exists\)"):
        write_text(tmp_path / "file" / "inner", "text")
    assert [item.name for item in path.parent.iterdir()] == ["file.json"]
    assert path.read_text() == "before"


def test_content_is_on_the_disk_before_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(
        os, "fsync", lambda handle: (done.append(os.readlink(f"/proc/self/fd/{handle}")), fsync(handle))
    )
    monkeypatch.setattr(os, "replace", lambda old, new: (done.append("rename"), replace(old, new)))
    write_text(tmp_path / "file", "text")
    assert done == [str(tmp_path / "file.partial"), "rename", str(tmp_path)]


@given(
    lines=st.lists(st.binary(max_size=9).filter(lambda line: b"\n" not in line), max_size=5), rest=st.binary(max_size=9)
)
def test_a_file_cut_anywhere_gives_its_whole_lines(tmp_path_factory, lines: list[bytes], rest: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "lines"
    rest = rest.replace(b"\n", b"")
    path.write_bytes(b"".join(line + b"\n" for line in lines) + rest)
    assert read_lines(path) == (lines, rest != b"")
    path.unlink()
    assert read_lines(path) == ([], False)
