"""What is done with a row that does not fit: stop and name it, or set it aside and go on."""

from pathlib import Path
from typing import TextIO

from recnas.util.errors import InputError

FILE_NAME = "rejected-rows.txt"
POLICIES = ("error", "skip")


class BadRows:
    """Takes the rows that do not fit.

    Args:
        folder: where `rejected-rows.txt` is written: file:line, the reason and the row, separated by tabs.
        policy: "error" or "skip".

    Attributes:
        count: how many rows were set aside.
        skips: whether they are, by the policy.
    """

    def __init__(self, folder: Path, policy: str) -> None:
        if policy not in POLICIES:
            raise InputError(f"--on-bad-row {policy} is none of {', '.join(POLICIES)}")
        self.count = 0
        self._path = folder / FILE_NAME
        self.skips = policy == "skip"
        self._file: TextIO | None = None

    def add(self, path: Path, line: int | str, reason: str, text: str) -> None:
        """Sets a row aside.

        Args:
            path: Its file.
            line: Its line, or what else names it in the file.
            reason: Why it does not fit.
            text: The row.

        Raises:
            InputError: the policy is "error"; the message names file, line and reason.
        """
        if not self.skips:
            raise InputError(f"{path}:{line}: {reason}; --on-bad-row skip sets such rows aside")
        if self._file is None:
            self._file = self._path.open("w", encoding="utf-8", errors="backslashreplace")
        self._file.write(f"{path.name}:{line}\t{reason}\t{text}\n")
        self.count += 1

    def close(self) -> None:
        """Ends the file."""
        if self._file is not None:
            self._file.close()
