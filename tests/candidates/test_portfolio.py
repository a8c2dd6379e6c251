"""Portfolios: files of candidates without names of features."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from recnas.candidates.defaults import own_candidate
from recnas.candidates.families import FAMILIES
from recnas.candidates.portfolio import Member, load_portfolio, save_portfolio
from recnas.util.errors import InputError


def test_the_one_that_recnas_comes_with_has_candidates_of_several_families() -> None:
    members = load_portfolio()
    # One that takes joint ids may be there without them, too.
    assert len({(member.candidate.id, member.joint_ids) for member in members}) == len(members) >= 8
    assert len({member.candidate.network_id for member in members} & set(FAMILIES)) >= 5


def test_a_portfolio_survives_writing_and_reading(tmp_path: Path) -> None:
    trained = own_candidate("gdcn")
    trained = replace(trained, inputs=replace(trained.inputs, crosses=("month:day", "a:b"), dropped=("a",)))
    members = [Member.of(trained), Member(own_candidate("lr"), 2)]
    assert members[0].joint_ids is None
    assert not members[0].candidate.inputs.crosses
    assert not members[0].candidate.inputs.dropped
    save_portfolio(members, tmp_path / "mine.yaml")
    assert load_portfolio(tmp_path / "mine.yaml") == members


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("version: 9\ncandidates: [1]\n", "no portfolio of version 1"),
        ("version: 1\ncandidates: []\n", "no portfolio of version 1"),
        ("version: 1\ncandidates: [1]\n", r"candidates\[0\]: a candidate is expected"),
        ("version: 1\ncandidates: [{network: {name: dnn}}]\n", r"candidates\[0\]: a candidate has a network and a"),
        ("- 1\n", "mapping"),
    ],
)
def test_a_damaged_file_is_one_line(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(text)
    with pytest.raises(InputError, match=message):
        load_portfolio(tmp_path / "bad.yaml")


def test_joint_ids_are_a_count_and_no_names(tmp_path: Path) -> None:
    values = Member(own_candidate("dnn")).to_json()
    with pytest.raises(InputError, match="joint_ids is -1"):
        Member.from_json(values | {"joint_ids": -1})
    for inputs in ({"crosses": ["a:b"]}, {"dropped": ["a"]}):
        with pytest.raises(InputError, match="names no features"):
            Member.from_json(values | {"inputs": inputs})
    with pytest.raises(InputError, match="no such portfolio"):
        load_portfolio(tmp_path / "nowhere.yaml")
