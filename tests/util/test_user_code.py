from __future__ import annotations

import pickle
import sys
from pathlib import Path

import pytest

from recnas.util.errors import InputError
from recnas.util.user_code import NotImportedError, import_user_code, is_user_code, user_code_in


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path


@pytest.mark.parametrize("name", ["mine:f", "my.models:TwoTower", "_a.b_2:_c"])
def test_a_module_and_a_name_are_user_code(name: str) -> None:
    assert is_user_code(name)


@pytest.mark.parametrize("name", ["", "mine", ":f", "mine:", ".mine:f", "mine..x:f", "mine:f:g", "mine:f.g", "../x:f"])
def test_nothing_else_is_user_code(name: str) -> None:
    assert not is_user_code(name)


def test_a_text_names_all_the_code_that_stands_in_it() -> None:
    assert user_code_in("zico + 0.5*mine:f - a.b:g|-mine:f") == ["mine:f", "a.b:g", "mine:f"]
    assert user_code_in("jacov | jacov - short_training") == user_code_in("nasrec-small") == []


def test_a_module_of_the_working_directory_is_found(here: Path) -> None:
    (here / "user_code_found.py").write_text("answer = 42\n")
    assert import_user_code("user_code_found:answer", "answer") == 42
    with pytest.raises(InputError, match="answer user_code_found:other: the module user_code_found has no other"):
        import_user_code("user_code_found:other", "answer")


def test_what_is_wrong_with_a_module_is_said_in_one_line(here: Path) -> None:
    (here / "user_code_broken.py").write_text("raise ValueError('broken')\n")
    with pytest.raises(InputError, match=r"proxy user_code_broken:f: the module \w+ cannot be imported \(broken\)"):
        import_user_code("user_code_broken:f", "proxy")


def test_what_nobody_imported_is_said_alike_of_another_process() -> None:
    error = NotImportedError("mine.models:TwoTower", "file.json: ")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert "import mine.models first (on the command line: --code mine.models)" in str(error)
