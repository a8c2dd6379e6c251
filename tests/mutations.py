"""Damages the files of an export, a run or a study in every way, and asks commands what they make of it.

`RECNAS_MUTATIONS=20` makes twenty times as many as the usual test run does.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from recnas.cli import main

TIMES = float(os.environ.get("RECNAS_MUTATIONS", "1"))
MOST_CPU_SECONDS, MOST_SECONDS = 5, 120
"""Of one command; the second bounds one that waits, however busy the machine is."""
SHOWN = 30
"""Faults that are told at once."""
RAW = "@@raw@@"
"""Stands in a value for a text that no JSON writer writes."""
RAW_TEXTS = (
    "[" * 100_000,
    "[" * 500 + "]" * 500,
    "9" * 5_000,
    "1e999",
    "-0",
    "NaN",
    "-Infinity",
    '"\\ud800"',
    "",
    "{}}",
)
VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 1, 2**31, 2**63, 10**30, 0.5, -1e308, 1e-320, float("inf"), float("nan"), "", "evil:f",
    "a" * 3_000,
    "nan", "\x1b[2J\nrecnas: done", "../../..", "\x00", "2020-01-01", "{{ 7 * 7 }}", [], {}, [[]], [None], ["a", "b"],
    {"a": 1}, [1] * 1_000, {"": {"": {}}}, {"name": []}, [float("nan")], RAW, RAW, RAW,
)  # fmt: skip
YAML_TEXTS = (
    "{key}: 2020-01-01\n", "{key}: &a [1, 2]\nb: *a\n", "{key}: !!python/object/apply:evil.f []\n",
    "{key}: !!binary aGk=\n",
    "<<: &x {{a: 1, <<: *x}}\n", "{key}: .inf\n", "{key}: .nan\n", "{key}: " + "9" * 5_000 + "\n",
    "{key}: " + "[" * 500 + "\n",
    "{key}: 1:2:3\n", "? [a]\n: b\n", "{key}: !evil.f x\n", "{key}: 'evil:f'\n", "---\n", "\t\n", "{key}: {key}: 1\n",
    "proxy: {{score: 'evil:f'}}\n", "proxies: ['evil:f']\n", "ray: 10.0.0.1:9\n",
    "a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10)),
)  # fmt: skip

Command = Callable[[], Sequence[object]]


class Damager:
    """Makes damaged versions of files.

    Args:
        rng: Decides what is damaged, and how.
    """

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng

    def damage(self, file: Path) -> str:
        """Damages a file in one way; says how."""
        if self.rng.random() < 0.06:
            return self._replace(file)
        kind = {
            ".json": self._json_text, ".jsonl": self._lines, ".yaml": self._yaml, ".safetensors": self._tensors
        }.get(file.suffix, self._bytes)  # fmt: skip
        if self.rng.random() < 0.2:
            kind = self._bytes
        data = file.read_bytes()
        changed = kind(data)
        file.write_bytes(changed)
        return f"{kind.__name__} of {file}"

    def _replace(self, file: Path) -> str:
        how = self.rng.choice(("gone", "folder", "loop", "zero", "pipe", "empty"))
        file.unlink()
        if how == "folder":
            file.mkdir()
        elif how == "loop":
            file.symlink_to(file.name)
        elif how == "zero":
            file.symlink_to("/dev/zero")
        elif how == "pipe":
            os.mkfifo(file)
        elif how == "empty":
            file.touch()
        return f"{how} in place of {file}"

    def _bytes(self, data: bytes) -> bytes:
        changed = bytearray(data)
        for _ in range(self.rng.choice((1, 1, 1, 3, 20))):
            if not changed:
                break
            place = self.rng.randrange(len(changed))
            how = self.rng.randrange(5)
            if how == 0:
                changed[place] ^= 1 << self.rng.randrange(8)
            elif how == 1:
                del changed[place:]
            elif how == 2:
                changed[place:place] = self.rng.randbytes(self.rng.randrange(1, 9))
            elif how == 3:
                changed[place : place + self.rng.randrange(1, 40)] = b""
            else:
                # What heads a file is the most telling.
                changed[self.rng.randrange(min(len(changed), 300))] = self.rng.randrange(256)
        return bytes(changed)

    def _json_text(self, data: bytes) -> bytes:
        return self._written(self._value(json.loads(data)))

    def _written(self, value: Any) -> bytes:
        text = json.dumps(value)
        while json.dumps(RAW) in text:
            text = text.replace(json.dumps(RAW), self.rng.choice(RAW_TEXTS), 1)
        return text.encode()

    def _value(self, value: Any) -> Any:
        """A value with something in it exchanged, gone, renamed, doubled or moved."""
        places = list(_places(value))
        holder, key = self.rng.choice(places) if places else ([value], 0)
        how = self.rng.randrange(8)
        if how == 0:
            del holder[key]
        elif how == 1 and isinstance(holder, dict):
            holder[self.rng.choice(("renamed", "", "\x1b[2J", str(key) + "x"))] = holder.pop(key)
        elif how == 2:
            holder[key] = [holder[key]]
        elif how == 3 and places:
            other, other_key = self.rng.choice(places)
            holder[key] = json.loads(json.dumps(other[other_key]))
        elif how == 4 and isinstance(holder, list):
            holder.insert(key, holder[key])
        elif how == 5 and isinstance(holder[key], int | float):
            holder[key] = self.rng.choice((-holder[key], holder[key] * 10**12, holder[key] + 0.5, str(holder[key])))
        else:
            holder[key] = self.rng.choice(VALUES)
        return value if places else holder[0] if holder else None

    def _lines(self, data: bytes) -> bytes:
        lines = data.splitlines()
        if not lines:
            return self.rng.choice((b"{}\n", b"[]\n", b"\n", b"null\n"))
        place = self.rng.randrange(len(lines))
        how = self.rng.randrange(8)
        if how == 0:
            lines.insert(place, lines[self.rng.randrange(len(lines))])
        elif how == 1:
            del lines[place]
        elif how == 2:
            lines[place] = self.rng.choice((b"", b"{}", b"[]", b"null", b"7"))
        else:
            lines[place] = self._written(self._value(json.loads(lines[place])))
        return b"".join(line + b"\n" for line in lines)

    def _yaml(self, data: bytes) -> bytes:
        if self.rng.random() < 0.4:
            lines = data.decode().splitlines(keepends=True)
            keys = [line.partition(":")[0].strip() for line in lines]
            text = self.rng.choice(YAML_TEXTS).format(key=self.rng.choice(keys))
            place = self.rng.randrange(len(lines))
            return "".join([*lines[:place], text, *lines[place + self.rng.randrange(2) :]]).encode()
        return yaml.safe_dump(self._value(yaml.safe_load(data)), allow_unicode=True).encode("utf-8", "surrogatepass")

    def _tensors(self, data: bytes) -> bytes:
        if self.rng.random() < 0.5:
            size = int.from_bytes(data[:8], "little")
            header = self._written(self._value(json.loads(data[8 : 8 + size])))
            return len(header).to_bytes(8, "little") + header + data[8 + size :]
        return data

    def tensors(self, file: Path) -> str:
        """Changes the tensors of a file of weights; says how."""
        tensors = load_file(file)
        name = self.rng.choice(sorted(tensors))
        tensor = tensors[name]
        how = self.rng.randrange(9)
        if how < 5:
            kind = (torch.int64, torch.float16, torch.complex64, torch.bool, torch.float64)[how]
            tensors[name] = tensor.to(kind)
        elif how == 5 and tensor.numel() and tensor.is_floating_point():
            tensor.view(-1)[self.rng.randrange(tensor.numel())] = self.rng.choice((float("nan"), float("inf"), 3e38))
        elif how == 6:
            tensors[name + self.rng.choice(("x", "", "\x1b[2J"))] = tensors.pop(name)
        elif how == 7:
            tensors[name] = tensor.unsqueeze(0)
        else:
            tensors = {name: 3e38 * torch.ones_like(item, dtype=torch.float32) for name, item in tensors.items()}
        save_file({key: item.contiguous() for key, item in tensors.items()}, file)
        return f"tensors of {file}"


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in nested values: what holds it, and its key or index."""
    if isinstance(value, dict | list):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from _places(value[key])


def check_commands(
    folder: Path,
    commands: Sequence[tuple[int, Command]],
    capsys: pytest.CaptureFixture[str],
    seed: int,
    pattern: str = "*",
) -> None:
    """Damages a folder's files one after the other, asks a command about each, and makes it whole again.

    Args:
        folder: A folder that may be changed.
        commands: How many times each is asked, and its arguments.
        capsys: What it prints.
        seed: Decides the damage.
        pattern: Of the files that are damaged.
    """
    # Nobody may import it.
    Path("evil.py").write_text("def f(*arguments):\n    return 0.0\n")
    kept = folder.with_name(folder.name + " kept")
    shutil.copytree(folder, kept)
    files = sorted(path.relative_to(folder) for path in folder.rglob(pattern) if path.is_file())
    rng = random.Random(seed)
    damager, failures = Damager(rng), []
    for times, command in commands:
        for _ in range(max(1, round(TIMES * times))):
            relative = rng.choice(files)
            file = folder / relative
            if file.suffix == ".safetensors" and rng.random() < 0.5:
                told = damager.tensors(file)
            else:
                told = damager.damage(file)
            arguments = [str(part) for part in command()]
            if fault := _fault(arguments, capsys):
                failures.append(f"{fault}\n{told}: {' '.join(arguments)}\n{_content(file)}")
            # Also what a command has written or removed.
            _restore(folder, kept)
    assert "evil" not in sys.modules
    assert not failures, f"{len(failures)} of them\n\n" + "\n\n".join(failures[:SHOWN])


def _restore(folder: Path, kept: Path) -> None:
    """Makes a folder what it was; what has not changed is not copied."""
    for path in sorted(folder.rglob("*"), reverse=True):
        there = kept / path.relative_to(folder)
        if path.is_symlink() or path.is_file() != there.is_file() or path.is_dir() != there.is_dir():
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    for there in kept.rglob("*"):
        path = folder / there.relative_to(kept)
        if there.is_dir():
            path.mkdir(exist_ok=True)
        elif not path.exists() or _stamp(path) != _stamp(there):
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(there, path)


def _stamp(path: Path) -> tuple[int, int]:
    about = path.stat()
    return about.st_mtime_ns, about.st_size


def _fault(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str | None:
    """What is wrong with how a command answers; None when it is right or one line."""
    capsys.readouterr()
    try:
        with _bounded():
            code = main(arguments)
    except BaseException as error:
        *_, last = traceback.extract_tb(error.__traceback__)
        return f"{type(error).__name__}: {error!s:.300} ({last.filename}:{last.lineno})"
    said = capsys.readouterr()
    if code not in (0, 1, 2):
        return f"exit code {code}"
    if any(letter in said.out + said.err for letter in "\x1b\x00\x07"):
        return f"steers the terminal: {said.out!r:.300} {said.err!r:.300}"
    if code and (said.err.count("\n") != 1 or len(said.err) > 3_000):
        return f"not one short line: {said.err:.300}"
    if code == 0 and arguments[0] == "evaluate" and ("nan" in said.out or "inf" in said.out):
        return f"no figures: {said.out}"
    return None


def _content(file: Path) -> str:
    return repr(file.read_bytes()[:700]) if file.is_file() and not file.is_symlink() else "no regular file"


@contextmanager
def _bounded() -> Iterator[None]:
    def stop(number: int, frame: FrameType | None) -> None:
        raise TimeoutError("it takes too long")

    handlers = {number: signal.signal(number, stop) for number in (signal.SIGPROF, signal.SIGALRM)}
    signal.setitimer(signal.ITIMER_PROF, MOST_CPU_SECONDS)
    signal.setitimer(signal.ITIMER_REAL, MOST_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in handlers.items():
            signal.signal(number, handler)
