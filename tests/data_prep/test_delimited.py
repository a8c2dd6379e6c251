"""Laws of every delimited log: good rows in, good rows out, whatever lies between them."""

import random
import tempfile
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recnas.data_prep import avazu, criteo, kdd
from recnas.data_prep.bad_rows import BadRows
from recnas.data_prep.delimited import Clicks, Decimal, Form, Hex, Label, Number, read_rows
from recnas.util.errors import InputError

FORMS = {"criteo": criteo.FORM, "avazu": avazu.FORM, "kdd": kdd.FORM, "profiles": kdd.PROFILE_FORM}


def _good_value(kind: object, rng: random.Random) -> str:
    match kind:
        case Label():
            return rng.choice("01")
        case Clicks():
            return str(rng.randint(0, 3))
        case Number():
            return rng.choice(["", "0", "-1", "17", "3.5", "2e3", str(rng.randint(0, 10**9))])
        case Hex():
            return rng.choice(["", f"{rng.getrandbits(32):08x}", "0", "FF"])
        case avazu.Hour():
            return f"14{rng.randint(1, 12):02d}{rng.randint(1, 28):02d}{rng.randint(0, 23):02d}"
        case Decimal():
            least = -(2**63) if kind.signed else 0
            most = 2**63 if kind.signed else 2**64 if kind.modulus else 2**32
            return rng.choice(["", "0", "7", str(rng.randrange(least, most)), str(most - 1)])
    raise AssertionError(kind)


def _good_line(form: Form, rng: random.Random) -> str:
    return form.separator.join(_good_value(kind, rng) for kind in form.columns.values())


def _read(form: Form, data: bytes, piece_bytes: int, policy: str = "skip") -> tuple[pl.DataFrame | None, list[bytes]]:
    """The good rows and the lines of `rejected-rows.txt`."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr("recnas.data_prep.text.read_pieces.__defaults__", (piece_bytes,))
        path, bad_rows = Path(folder) / "log", BadRows(Path(folder), policy)
        path.write_bytes(data)
        chunks = list(read_rows(form, [path], bad_rows, progress=False))
        bad_rows.close()
        rejected = Path(folder) / "rejected-rows.txt"
        return pl.concat(chunks) if chunks else None, rejected.read_bytes().splitlines() if rejected.exists() else []


def _text(form: Form, lines: list[bytes]) -> bytes:
    header = [form.separator.join(form.columns).encode()] if form.header else []
    return b"".join(line + b"\n" for line in [*header, *lines])


# What people find in logs; each makes a row of every form a bad one.
BROKEN = (
    b"", b"\x00", b"not a row", b"\xff\xfe", b'"1","2"', b"1\t2\t3\t4", b"\t" * 39 + b"\x00", b"," * 23 + b"\x00",
)  # fmt: skip
# No kind of column takes these.
BROKEN_FIELDS = (b"-", b"x1", b"1 ", b"+1", b"\x001", b"1e9999999", b"0x1", "٣".encode())


@pytest.mark.parametrize("name", FORMS)
@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    kinds=st.lists(st.sampled_from(["good", "good", "good", *BROKEN, "field", "cut"]), min_size=1, max_size=40),
    piece_bytes=st.integers(1, 4000),
)
def test_good_rows_in_are_good_rows_out(name: str, seed: int, kinds: list, piece_bytes: int) -> None:
    form, rng = FORMS[name], random.Random(seed)
    lines, good, bad = [], [], []
    for kind in kinds:
        line = _good_line(form, rng).encode()
        if kind == "field":
            fields = line.split(form.separator.encode())
            fields[rng.randrange(len(fields))] = rng.choice(BROKEN_FIELDS)
            line = form.separator.encode().join(fields)
        elif kind == "cut":
            line = line[: line.rindex(form.separator.encode())]
        elif kind != "good":
            line = kind
        (good if kind == "good" else bad).append((len(lines) + 1 + form.header, line))
        lines.append(line)
    found, rejected = _read(form, _text(form, lines), piece_bytes)
    expected, _ = _read(form, _text(form, [line for _, line in good]), 1 << 20, "error") if good else (None, [])
    assert (found is None) == (expected is None)
    assert expected is None or found.equals(expected)
    assert [int(line.split(b"\t")[0].split(b":")[1]) for line in rejected] == [number for number, _ in bad]
    if bad:
        with pytest.raises(InputError, match=rf"log:{bad[0][0]}: .*--on-bad-row skip"):
            _read(form, _text(form, lines), piece_bytes, "error")


# Any text, and such as nearly is, or just about is, a number, an id, a label or an hour.
TEXTS = st.one_of(
    st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs"]), max_size=12),
    st.from_regex(r"-?0{0,30}[0-9]{0,22}(\.[0-9]{0,3})?([eE]-?[0-9]{1,4})?", fullmatch=True),
    st.from_regex(r"0{0,9}[0-9a-fA-F]{0,9}", fullmatch=True),
    st.sampled_from(["01", "00", "-0", "-1", ".5", "-.5", ".", "-", "1.", "1e", "nan", "inf", "18446744073709551616"]),
    st.sampled_from(["14133199", "14022900", "16022900", "14102124", "00010100", "4102121", "100000101", "14000100"]),
)


@pytest.mark.parametrize("name", FORMS)
@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 10**6), text=TEXTS)
def test_a_line_fits_alone_if_and_only_if_its_piece_is_read_at_once(name: str, seed: int, text: str) -> None:
    form, rng = FORMS[name], random.Random(seed)
    fields = _good_line(form, rng).split(form.separator)
    fields[rng.randrange(len(fields))] = text
    line = form.separator.join(fields)
    assert (form.misfit(line) is None) == (form.parse(line.encode() + b"\n", 1) is not None)
