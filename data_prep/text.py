"""Raw text files, found by name and read in pieces of whole lines, so that neither size nor compression matters."""

import glob
import gzip
import hashlib
import io
import lzma
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa

from recnas.util.console import Bar
from recnas.util.errors import InputError

PACKINGS = (".gz", ".zst", ".zip")
"""What the name of a packed file ends in."""

PIECE_BYTES = 16 << 20
MOST_PIECE_BYTES = 128 << 20
# A line this long means that the file is not text.
MAX_LINE_BYTES = 16 << 20

# What gzip, zlib, zipfile and Arrow raise at damaged data. A damaged directory of a zip leads anywhere.
_DAMAGE = (
    OSError,
    EOFError,
    zlib.error,
    lzma.LZMAError,
    zipfile.BadZipFile,
    struct.error,
    ValueError,
    OverflowError,
    RuntimeError,
    # A file in a zip without a name.
    IndexError,
)

_SAMPLES = 64
_SAMPLE_BYTES = 64 << 10


class EmptyFile(InputError):
    """A file has not a single letter."""


@dataclass(frozen=True)
class InputSegment:
    """Whole lines of a text file.

    Args:
        data: the lines, each with `\\n` at its end.
        first_line: line number of the first, from 1.
        num_lines: how many lines.
    """

    data: bytes
    first_line: int
    num_lines: int

    def lines(self) -> Iterator[tuple[int, str]]:
        """Line numbers and lines, without line ends; bytes that are not UTF-8 become replacement characters."""
        for number, line in enumerate(self.data[:-1].split(b"\n"), self.first_line):
            yield number, line.decode("utf-8", errors="replace")


def piece_bytes_of(columns: int) -> int:
    """How much to read at a time of a table of so many columns.

    What is done for each column of a piece takes its time however few its rows are, so that wide tables are read in
    larger ones.
    """
    return min(MOST_PIECE_BYTES, PIECE_BYTES * max(1, columns // 100))


def read_pieces(path: Path, bar: Bar, piece_bytes: int = PIECE_BYTES) -> Iterator[InputSegment]:
    """A text file from begin to end, unpacked if its name ends in one of `PACKINGS`; no byte-order mark, no Windows
    line ends.

    Args:
        path: the file.
        bar: told how many bytes of the file on disk have been read.
        piece_bytes: about how much to read at a time.

    Raises:
        InputError: the file is not there, cannot be read, is empty, or is not text.
    """
    line = 1
    with _opened(path) as raw:
        file, seen = _unpacked(raw, path), 0
        while data := file.read(piece_bytes):
            # Up to the end of its last line, with one copy of the whole.
            if not data.endswith(b"\n"):
                data += file.readline(MAX_LINE_BYTES)
            bar.update(raw.tell() - seen)
            seen = raw.tell()
            if line == 1:
                data = data.removeprefix(b"\xef\xbb\xbf")
                if not data:
                    break
            if not data.endswith(b"\n"):
                if file.read(1):
                    at = line + count_byte(data, b"\n")
                    raise InputError(f"{path}:{at}: a line of more than {MAX_LINE_BYTES >> 20} MB; is it a text file?")
                data += b"\n"
            piece = _piece(data, line)
            line += piece.num_lines
            yield piece
        if line == 1:
            raise EmptyFile(f"{path}: the file is empty; give a file with rows")


def without_blank_end(pieces: Iterable[InputSegment]) -> Iterator[InputSegment]:
    """The pieces of a file without the empty lines after its last line."""
    num_held = 0
    for piece in pieces:
        if not num_held and piece.data != b"\n" and not piece.data.endswith(b"\n\n"):
            yield piece
            continue
        text = piece.data.rstrip(b"\n")
        if not text:
            num_held += piece.num_lines
            continue
        # They were not at the end.
        blank = len(piece.data) - len(text) - 1
        lines = num_held + piece.num_lines - blank
        yield InputSegment(b"\n" * num_held + text + b"\n", piece.first_line - num_held, lines)
        num_held = blank


def input_files(input: Path, names: Sequence[str]) -> list[Path]:
    """The files that an `--input` stands for, in the order of the numbers in their names: day_2 before day_10.

    Args:
        input: A file, a pattern such as `day_*`, or a folder.
        names: Of a folder the files with one of these names are wanted, with or without one of `PACKINGS` after it;
            `*` in a name stands for any text, `<number>` for digits.

    Raises:
        InputError: There is none; a file is there packed and unpacked; a folder has files of two of the names.
    """
    if input.is_dir():
        files_of = {name: files for name in names if (files := _files_named(input, name))}
        if not files_of:
            raise InputError(
                f"{input}: the folder has no file named {' or '.join(names)} (or {', '.join(PACKINGS)}); check --input"
            )
        first, *others = files_of.values()
        if others:
            raise InputError(
                f"{input}: holds {first[0].name} and {others[0][0].name}; choose with --input which to read"
            )
        return _each_once(first)
    if glob.has_magic(str(input)) and not input.exists():
        if files := [Path(path) for path in glob.glob(_pattern(input)) if Path(path).is_file()]:
            return _each_once(sorted(files, key=_by_numbers))
        raise InputError(f"{input}: no file has such a name; check --input")
    return [input]


def _pattern(input: Path) -> str:
    """The pattern that a user gave; folders at its begin that exist are of just that name."""
    there = next((folder for folder in input.parents if folder.exists()), Path())
    return str(Path(glob.escape(str(there)), input.relative_to(there)))


def without_packing(path: Path) -> Path:
    """The name that a file has when it is unpacked."""
    return path.with_suffix("") if path.suffix in PACKINGS else path


def _files_named(folder: Path, name: str) -> list[Path]:
    pattern = re.escape(name).replace(r"\*", ".*").replace("<number>", r"\d+")
    packing = "|".join(map(re.escape, PACKINGS))
    wanted = re.compile(rf"(?!\.)(?:{pattern})(?:{packing})?", re.DOTALL)
    return sorted(
        (path for path in folder.iterdir() if wanted.fullmatch(path.name) and path.is_file()), key=_by_numbers
    )


def _each_once(files: list[Path]) -> list[Path]:
    """The same files; refuses two that hold the same rows."""
    seen: dict[Path, Path] = {}
    for path in files:
        if (other := seen.setdefault(without_packing(path), path)) != path:
            raise InputError(
                f"{path}: the same rows as {other.name}, packed otherwise; choose with --input one of them"
            )
    return files


def _by_numbers(path: Path) -> list[tuple[int, int | str]]:
    parts = re.split(r"(\d+)", path.name)
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in parts if part]


def _unpacked(raw: BinaryIO, path: Path) -> BinaryIO:
    if path.suffix == ".gz":
        return gzip.GzipFile(fileobj=raw)  # type: ignore[return-value]
    if path.suffix == ".zip":
        archive = zipfile.ZipFile(raw)
        files = [item for item in archive.infolist() if not item.is_dir()]
        if len(files) != 1:
            raise InputError(f"{path}: holds {len(files)} files where 1 is expected; unpack it and give its folder")
        try:
            return archive.open(files[0])  # type: ignore[return-value]
        except RuntimeError as error:
            # Encrypted, or compressed in a way that Python's zipfile has not.
            raise InputError(f"{path}: cannot be unpacked ({error}); unpack it and give its folder") from None
    if path.suffix == ".zst":
        return io.BufferedReader(pa.CompressedInputStream(pa.PythonFile(raw, mode="r"), "zstd"))  # type: ignore[type-var]
    return raw


def count_byte(data: bytes, byte: bytes) -> int:
    """How often a byte is there; for a frequent one ten times as fast as `bytes.count`."""
    return int(np.count_nonzero(np.frombuffer(data, dtype=np.uint8) == ord(byte)))


def _piece(data: bytes, first_line: int) -> InputSegment:
    # Looking for one byte is much faster than looking for two, and most files have none.
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n")
    return InputSegment(data, first_line, count_byte(data, b"\n"))


def describe(name: str, paths: Sequence[Path]) -> dict[str, str | int]:
    """The `source` of a schema: name, size in bytes, and a fingerprint.

    The fingerprint is made from the size and 64 evenly spaced samples of each file, so that it costs the same for any
    size; it tells files apart, it does not prove that they are equal.

    Raises:
        InputError: a file is not there or cannot be read.
    """
    digest = hashlib.blake2b(digest_size=16)
    total = 0
    for path in paths:
        with _opened(path) as file:
            size = path.stat().st_size
            total += size
            digest.update(size.to_bytes(8, "little"))
            for sample in range(_SAMPLES):
                file.seek(max(0, size - _SAMPLE_BYTES) * sample // (_SAMPLES - 1))
                digest.update(file.read(_SAMPLE_BYTES))
    return {"name": name, "size": total, "fingerprint": digest.hexdigest()}


def check_unchanged(paths: Sequence[Path], source: Mapping[str, Any]) -> None:
    """Compares the size of files that have been read with what `describe` found before.

    Raises:
        InputError: They were cut or written to meanwhile, so what was read is neither the one nor the other.
    """
    size = 0
    for path in paths:
        with _reading(path):
            size += path.stat().st_size
    if size != source["size"]:
        what = paths[0] if len(paths) == 1 else f"{paths[0]} and the other files"
        raise InputError(
            f"{what}: changed while read, from {source['size']:,} bytes to {size:,}; wait until nobody writes there, "
            "and prepare again"
        )


def check_is_file(path: Path) -> None:
    """Refuses what cannot be read again and again: a pipe would be waited for, a device has no end.

    Raises:
        InputError: It is there, but neither a file nor a folder.
    """
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        kind = "a pipe" if stat.S_ISFIFO(mode) else "no file"
        raise InputError(
            f"{path}: is {kind}, which can be read only once; give a file ({', '.join(PACKINGS)} are unpacked as they "
            "are read)"
        )


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """The bytes of a file as it is on disk."""
    with _reading(path):
        check_is_file(path)
        with path.open("rb") as file:
            yield file


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; check --input") from None
    except (IsADirectoryError, PermissionError) as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check --input") from None
    except _DAMAGE as error:
        if path.suffix not in PACKINGS:
            raise
        raise InputError(f"{path}: cannot be unpacked ({error}); fetch the file again") from None
