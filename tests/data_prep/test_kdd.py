"""KDD Cup 2012's log, joined with its profiles, against plain Python."""

import gzip
import io
import random
import zipfile
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from recnas.data import Dataset
from recnas.data_prep import prepare
from recnas.data_prep.kdd import TABLE_ROWS
from recnas.data_prep.text import PACKINGS
from recnas.features.schema import SPLITS
from recnas.util.errors import InputError

USERS = 40


def _files(folder, count: int = 150, seed: int = 0) -> tuple[list[list[int]], dict[int, tuple[int, int]]]:
    """Writes both files; rows are told apart by their ad. Every third user has no profile."""
    randomness = random.Random(seed)
    rows = [
        [
            max(0, randomness.randint(-3, 2)),
            randomness.randint(1, 9),
            randomness.getrandbits(64),
            number,
            *(randomness.randint(1, 3) for _ in range(3)),
            *(randomness.getrandbits(20) for _ in range(4)),
            randomness.randrange(USERS),
        ]
        for number in range(count)
    ]
    profiles = {user: (randomness.randint(0, 2), randomness.randint(1, 6)) for user in range(USERS) if user % 3}
    order = list(profiles)
    randomness.shuffle(order)
    folder.mkdir()
    (folder / "training.txt").write_text("".join("\t".join(map(str, row)) + "\n" for row in rows))
    lines = [f"{user}\t{profiles[user][0]}\t{profiles[user][1]}\n" for user in order]
    (folder / "userid_profile.txt").write_text("".join(lines))
    return rows, profiles


def _raw(folder) -> pl.DataFrame:
    return pl.concat([pl.read_parquet(folder / split / "*.parquet") for split in SPLITS]).sort("ad")


def _assert_same(folder, rows, profiles) -> None:
    found = _raw(folder)
    assert found["click"].to_list() == [int(row[0] > 0) for row in rows]
    columns = {"display_url": 2, "ad": 3, "advertiser": 4, "query": 7, "keyword": 8, "title": 9, "description": 10}
    for name, place in {**columns, "user": 11}.items():
        modulus = 2**31 - 1 if name == "display_url" else 2**32
        assert found[name].to_list() == [row[place] % modulus for row in rows], name
    for place, name in enumerate(("gender", "age")):
        assert found[name].to_list() == [profiles[row[11]][place] if row[11] in profiles else None for row in rows]


def test_rows_are_joined_with_their_users_profiles(tmp_path):
    rows, profiles = _files(tmp_path / "raw")
    schema = prepare("kdd", tmp_path / "out", tmp_path / "raw")
    _assert_same(tmp_path / "out", rows, profiles)
    assert [feature.name for feature in schema.dense] == ["impression", "depth", "position"]
    assert {feature.name: feature.rows for feature in schema.sparse} == TABLE_ROWS
    batch = next(iter(Dataset(tmp_path / "out").batches("train", 4)))
    assert batch.dense.shape == (4, 3)


def _packed(path: Path, suffix: str) -> bytes:
    data = path.read_bytes()
    if suffix == ".gz":
        return gzip.compress(data)
    if suffix == ".zst":
        return pa.compress(data, codec="zstd", asbytes=True)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(path.name, data)
    return stream.getvalue()


@pytest.mark.parametrize("suffix", PACKINGS)
def test_packed_files_give_the_same(tmp_path, suffix):
    rows, profiles = _files(tmp_path / "raw")
    for path in list((tmp_path / "raw").iterdir()):
        path.with_name(path.name + suffix).write_bytes(_packed(path, suffix))
        path.unlink()
    prepare("kdd", tmp_path / "out", tmp_path / "raw")
    _assert_same(tmp_path / "out", rows, profiles)


@pytest.mark.parametrize("suffix", PACKINGS)
def test_a_truncated_packed_file_is_named(tmp_path, suffix):
    _files(tmp_path / "raw")
    path = tmp_path / "raw" / "training.txt"
    packed = _packed(path, suffix)
    path.with_name(path.name + suffix).write_bytes(packed[: len(packed) // 2])
    path.unlink()
    with pytest.raises(InputError, match=rf"training.txt{suffix}: cannot be unpacked"):
        prepare("kdd", tmp_path / "out", tmp_path / "raw")


def test_a_zip_of_several_files_is_refused(tmp_path):
    _files(tmp_path / "raw")
    path = tmp_path / "raw" / "training.txt"
    with zipfile.ZipFile(f"{path}.zip", "w") as archive:
        archive.write(path, "training.txt")
        archive.writestr("notes.txt", "")
    path.unlink()
    with pytest.raises(InputError, match=r"training\.txt\.zip: holds 2 files where 1 is expected"):
        prepare("kdd", tmp_path / "out", tmp_path / "raw")


def test_an_encrypted_zip_is_refused(tmp_path):
    _files(tmp_path / "raw")
    path = tmp_path / "raw" / "training.txt"
    packed = bytearray(_packed(path, ".zip"))
    # The flag of encryption, in the file's own header and in the directory.
    for signature, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        packed[packed.index(signature) + place] |= 1
    path.with_name("training.txt.zip").write_bytes(packed)
    path.unlink()
    with pytest.raises(
        InputError, match=r"training\.txt\.zip: cannot be unpacked \(.*encrypted.*\); unpack it and give"
    ):
        prepare("kdd", tmp_path / "out", tmp_path / "raw")


def test_a_missing_profile_file_is_named_and_a_users_last_profile_counts(tmp_path):
    rows, profiles = _files(tmp_path / "raw")
    path = tmp_path / "raw" / "userid_profile.txt"
    path.write_text("1\t2\t6\n" * 2 + path.read_text() + "4\t0\t5\n")
    prepare("kdd", tmp_path / "out", tmp_path / "raw")
    _assert_same(tmp_path / "out", rows, profiles | {4: (0, 5)})
    path.unlink()
    with pytest.raises(InputError, match=r"no file named userid_profile\.txt"):
        prepare("kdd", tmp_path / "other", tmp_path / "raw")


def test_bad_lines_of_either_file_are_set_aside(tmp_path):
    rows, profiles = _files(tmp_path / "raw")
    for name, bad in (("training.txt", "1\t2\n"), ("userid_profile.txt", "one\t2\t3\n")):
        path = tmp_path / "raw" / name
        path.write_text(bad + path.read_text())
    with pytest.raises(InputError, match=r"userid_profile\.txt:1: user is 'one', which is not a whole number"):
        prepare("kdd", tmp_path / "out", tmp_path / "raw")
    schema = prepare("kdd", tmp_path / "out", tmp_path / "raw", on_bad_row="skip")
    _assert_same(tmp_path / "out", rows, profiles)
    assert schema.source["rejected_rows"] == 2
