"""`python -m recnas.train`, for `torchrun`: the same as `recnas train`."""

import sys
from importlib import import_module

if __name__ == "__main__":
    # By its name, as the command line stands above this room.
    sys.exit(import_module("recnas.cli").main(["train", *sys.argv[1:]]))
