"""Spaces by what tests about them may count on."""

from recnas.space import SPACES

NASREC = tuple(name for name in SPACES if name.startswith("nasrec"))
"""Those of NASRec's seven blocks."""
TABLES = (*NASREC, "autoctr")
"""Those of a table of choices for seven blocks."""
