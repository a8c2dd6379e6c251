"""What can go wrong for a user, as two exceptions that the command line turns into one line and an exit code."""


class InputError(Exception):
    """What the user gave does not fit: a bad row, a missing file, an unknown setting (exit code 2).

    The message is one line that says what is wrong, where (`file:line` if there is one) and what to do.
    """


class RunError(Exception):
    """Something failed on the way, with good input: a diverged loss, a full disk (exit code 1)."""
