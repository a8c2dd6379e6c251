"""The commands that README.md and docs/ give."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from recnas.cli.commands import make_parser

ROOT = Path(__file__).resolve().parents[1]
# The commands of docs/extend.md need its own files: tests/test_extend.py runs them.
DOCUMENTS = [ROOT / "README.md", *sorted(set((ROOT / "docs").glob("*.md")) - {ROOT / "docs" / "extend.md"})]


def commands(text: str) -> list[str]:
    """The lines of the code blocks that call recnas with a flag or a path, those that go on joined."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    blocks += ["\n".join(re.findall(r"^ {4}(\S.*)$", text, re.MULTILINE))]
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [line.strip() for line in lines if re.match(r"\s*recnas \w.*[-/]", line)]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_of_a_document_is_one_that_recnas_takes(document: Path) -> None:
    for command in commands(document.read_text(encoding="utf-8")):
        if "…" in command:
            continue
        try:
            make_parser().parse_args(shlex.split(command, comments=True)[1:])
        except SystemExit:
            pytest.fail(f"{document.name}: {command}")


def test_readme_takes_ones_own_table_from_the_file_to_the_test_rows_of_the_exported_model() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    own = commands(text.split("## Your own table")[1].split("\n## ")[0])
    assert [shlex.split(command)[1] for command in own] == [
        "prepare",
        "describe",
        "search",
        "report",
        "export",
        "evaluate",
    ]
    assert own[2].partition("#")[0].rstrip() == "recnas search --data data/clicks --run runs/clicks --budget 10m"
    assert "`import recnas`" in text
