"""The columns of a table's file, and what it says of itself. Needs no torch."""

from __future__ import annotations

FORMAT = 1
"""Of the file; another number is refused."""
KEY = b"recnas.bench"
"""Of the file's own description among the metadata of its schema."""
FIGURES = tuple((split, name) for split in ("validation", "test") for name in ("log_loss", "auc"))
"""How good a model is: on which rows, and by what."""
SCORE = "proxy"
"""What precedes a warm-up and the name of a proxy in the name of their column, parted by colons."""
