"""What trackers' errors and addresses say, without the passwords in them."""

from __future__ import annotations

import re


def redacted_message(error: Exception) -> str:
    """What an error says, in one line and redacted."""
    return redact(" ".join(str(error).split())) or type(error).__name__


def redact(text: str) -> str:
    """A text whose addresses name neither users nor passwords."""
    return re.sub(r"(?i)([?&](?:password|pwd|token)=)[^&\s]*", r"\1…", re.sub(r"//\S*@", "//", text))
