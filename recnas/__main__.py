"""`python -m recnas`, for `torchrun`: the same as `recnas`."""

import sys

from recnas.cli import main

sys.exit(main())
