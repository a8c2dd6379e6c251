"""Names from files neither steer a terminal nor become markup."""

from __future__ import annotations

import html
import io
import re
import sys

import markdown
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recnas.util.console import Console
from recnas.util.errors import InputError
from recnas.util.exits import exit_code
from recnas.util.printable import PrintableStream, in_markdown, one_line, printable

NAMES = st.text(st.sampled_from("ab1 _*`[]()<>|&~$!@#\\:/.-+=w{}'\"\n\x1b\u202e"), min_size=1, max_size=12)


def test_what_steers_a_terminal_is_shown_as_an_escape() -> None:
    assert printable("a\x1b]0;owned\x07\x9bb\r\u202ec\u2028\n\td") == r"a\x1b]0;owned\x07\x9bb\r\u202ec\u2028" + "\n\td"
    assert one_line("a\nrecnas: finished") == r"a\nrecnas: finished"
    assert printable("Zürich 東京 🙂 –") == "Zürich 東京 🙂 –"
    stream = io.StringIO()
    print("\x1b[31m", file=PrintableStream(stream))
    assert stream.getvalue() == "\\x1b[31m\n"


def test_no_command_prints_what_steers_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    def command() -> None:
        print("name\x1b[2J")
        Console(True).say("said\x1b[2J\nrecnas: done")
        with Console(True).bar(1, "work\x1b[2J", "rows") as bar:
            bar.update(1, "note\x1b[2J")
        raise InputError("bad\x1b[2J\nrecnas: all is well")

    assert exit_code(command) == 2
    assert sys.stdout is not None
    said = capsys.readouterr()
    assert said.out == "name\\x1b[2J\n"
    *others, last = said.err.splitlines()
    assert last == r"recnas: bad\x1b[2J\nrecnas: all is well"
    assert others[0] == r"said\x1b[2J\nrecnas: done"
    assert "\x1b" not in said.err


@given(NAMES)
def test_a_name_in_markdown_is_shown_as_it_is(name: str) -> None:
    shown = markdown.markdown(
        f"before {in_markdown(name)} after\n\n| a |\n| --- |\n| {in_markdown(name)} |", extensions=["tables"]
    )
    text = re.sub(r"\s+", " ", html.unescape(re.sub(r"</?(p|table|thead|tbody|tr|th|td)>", " ", shown)))
    wanted = re.sub(r"\s+", " ", f" before {one_line(name)} after a {one_line(name)} ")
    assert text.strip() == wanted.strip()


@pytest.mark.parametrize(
    "name", ["- item", "1. item", "12) item", "+ x", "# x", "=====", "> x", "    code", "```", "[x](javascript:a)"]
)
def test_a_name_at_the_start_of_a_line_is_no_block(name: str) -> None:
    assert html.unescape(markdown.markdown(f"{in_markdown(name)}")) in (f"<p>{name}</p>", f"<p>{name.strip()}</p>")
