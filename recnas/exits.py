"""How a command ends: its errors as one line each, and its exit code."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout

from recnas.errors import InputError, RunError

LOST = ("connection closed by peer", "connection reset by peer", "broken pipe", "gloo", "nccl", "tcpstore")
"""Words of what torch says of a process that is gone."""


def exit_code(command: Callable[[], None], debug: bool = False, remedy: str = "") -> int:
    """Runs a command; gives 0, 2 for bad input, 1 for a failure, 130 when interrupted.

    Of several processes that `torchrun` started the first one prints; the others tell of errors of their own alone.

    Args:
        command: What to do.
        debug: Show the stack trace of an error.
        remedy: What to do when the command was interrupted or a process was lost, after a semicolon.
    """
    rank, size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    name = "recnas" if size == 1 else f"recnas (process {rank})"
    try:
        with _silent() if rank else redirect_stdout(sys.stdout):
            command()
        if size > 1 and _has_joined():
            _leave()
    except (InputError, RunError, OSError) as error:
        if debug:
            traceback.print_exc()
        elif rank == 0 or (_has_joined() and not getattr(error, "all_raised", False)):
            print(f"{name}: {error}", file=sys.stderr)
        return 2 if isinstance(error, InputError) else 1
    except KeyboardInterrupt:
        if rank == 0:
            print(f"recnas: interrupted{remedy}", file=sys.stderr)
        return 130
    except RuntimeError as error:
        if debug or size == 1 or not any(word in str(error).lower() for word in LOST):
            raise
        print(f"{name}: lost another process of the job{remedy}", file=sys.stderr)
        return 1
    return 0


def _has_joined() -> bool:
    """Whether this process has met the others; before that, what is wrong with a command all of them see alike."""
    torch = sys.modules.get("torch")
    return torch is not None and torch.distributed.is_initialized()


def _leave() -> None:
    """Ends what the processes have in common, when all have come here: one that ends early makes the others fail."""
    import torch.distributed as dist

    dist.barrier()
    dist.destroy_process_group()


@contextmanager
def _silent() -> Iterator[None]:
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
        yield
