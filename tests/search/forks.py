"""Runs `recnas` in several processes that know each other as `torchrun`'s do: forks of this one, as imports take long.

Reads lines of JSON, `[PROCESSES, ARGUMENTS]`; answers each with a line `[[EXIT CODE, STDOUT, STDERR] of each process]`.
"""

import json
import os
import sys
import tempfile
from multiprocessing import get_context
from pathlib import Path

# What the forks would import.
import recnas.search.run  # noqa: F401
from recnas.cli import main
from tests.joining import free_port, join

PATIENCE = 120
"""Seconds after which a process hangs."""


def run(rank: int, size: int, port: int, arguments: list[str], folder: Path) -> None:
    """What a fork does."""
    for stream, name in ((sys.stdout, "out"), (sys.stderr, "err")):
        os.dup2(os.open(folder / f"{rank}.{name}", os.O_CREAT | os.O_WRONLY), stream.fileno())
    if size > 1:
        join(rank, size, port)
    sys.exit(main(arguments))


def run_all(size: int, arguments: list[str]) -> list[tuple[int, str, str]]:
    """How each process ended, and what it said."""
    forks, port = get_context("fork"), free_port()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        processes = [forks.Process(target=run, args=(rank, size, port, arguments, folder)) for rank in range(size)]
        for process in processes:
            process.start()
        for process in processes:
            process.join(PATIENCE)
            process.kill()
            process.join()
        said = [[(folder / f"{rank}.{name}").read_text() for name in ("out", "err")] for rank in range(size)]
    return [(process.exitcode, *texts) for process, texts in zip(processes, said, strict=True)]


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(run_all(*json.loads(line))), flush=True)
