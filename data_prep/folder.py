"""A folder that appears under its final name only when it is complete."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recnas.features.schema import FILE_NAME
from recnas.util.errors import InputError


@contextmanager
def new_folder(path: Path, overwrite: bool = False) -> Iterator[Path]:
    """An empty folder to write a data set into; it takes the name `path` when the `with` block ends without an error.

    It stands beside `path` as `.<name>.partial` meanwhile. What a killed run left there is removed by the next one.

    Args:
        path: final name.
        overwrite: replace a data set that is there already.

    Raises:
        InputError: something is there and may not be replaced, another process is writing the same data set, or the
            folder cannot be made.
    """
    path = Path(os.path.abspath(path))
    check_free(path, overwrite)
    partial = path.with_name(f".{path.name}.partial")
    old = path.with_name(f".{path.name}.old")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = _lock(partial)
    except OSError as error:
        raise InputError(f"{path}: cannot be made ({error.strerror}); choose another --output") from None
    if lock is None:
        raise InputError(f"{path}: another process is preparing it; wait for it or choose another --output")
    try:
        try:
            _empty(partial)
            yield partial
            check_free(path, overwrite)
            shutil.rmtree(old, ignore_errors=True)
            if path.exists():
                path.rename(old)
            partial.rename(path)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        shutil.rmtree(old, ignore_errors=True)
    finally:
        os.close(lock)


def check_free(path: Path, overwrite: bool) -> None:
    """Raises InputError if something at `path` may not be replaced; only a data set ever may."""
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    if not (path / FILE_NAME).is_file():
        raise InputError(f"{path}: is there already and is not a data set; choose another --output")
    if not overwrite:
        raise InputError(f"{path}: the data set is there already; --overwrite replaces it")


def _lock(folder: Path) -> int | None:
    """Makes a folder and locks it for this process; the lock ends with the process, however it ends. None: taken."""
    while True:
        folder.mkdir(exist_ok=True)
        try:
            handle = os.open(folder, os.O_RDONLY)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return None
        # Between opening and locking, the owner may have renamed or removed the folder: then this is the wrong one.
        if folder.exists() and os.stat(folder).st_ino == os.fstat(handle).st_ino:
            return handle
        os.close(handle)


def _empty(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
