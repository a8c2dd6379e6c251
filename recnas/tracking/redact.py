"""What is said of trackers' errors and addresses."""

from __future__ import annotations

import re


def one_line(error: Exception) -> str:
    """What an error says, in one line and without a password."""
    return without_password(" ".join(str(error).split())) or type(error).__name__


def without_password(text: str) -> str:
    """A text whose addresses name neither users nor passwords."""
    return re.sub(r"(?i)([?&](?:password|pwd|token)=)[^&\s]*", r"\1…", re.sub(r"//\S*@", "//", text))
