"""Small raw files of the real form."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest


def _criteo_line(number: int, randomness: random.Random) -> str:
    """A row of Criteo's form; I5 is the row's number, so that a row can be told from every other."""
    dense = [randomness.choice(["", "-1", "0", str(randomness.randint(1, 10**6))]) for _ in range(13)]
    dense[4] = str(number)
    sparse = [randomness.choice(["", f"{randomness.getrandbits(32):08x}"]) for _ in range(26)]
    return "\t".join([str(int(randomness.random() < 0.3)), *dense, *sparse])


def _criteo_lines(count: int, seed: int = 0) -> list[str]:
    randomness = random.Random(seed)
    return [_criteo_line(number, randomness) for number in range(count)]


@pytest.fixture
def criteo_lines() -> Callable[..., list[str]]:
    """Makes rows of Criteo's form."""
    return _criteo_lines


@pytest.fixture
def train_txt(tmp_path: Path) -> Path:
    """200 rows of Criteo's form."""
    path = tmp_path / "train.txt"
    path.write_text("\n".join(_criteo_lines(200)) + "\n")
    return path


@pytest.fixture
def movielens_folder(tmp_path: Path) -> Path:
    """MovieLens' three files with 5 people, 4 films and 120 ratings."""
    folder = tmp_path / "ml-100k"
    folder.mkdir()
    users = [
        "user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token",
        "1\t24\tM\ttechnician\t85711",
        "2\t53\tF\tother\t94043",
        "3\t23\tM\twriter\tT8H1N",
        "4\t24\t\ttechnician\t05201",
        "5\t\tF\tother\t94043",
    ]
    items = [
        "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq",
        "1\tToy Story\t1995\tAnimation Children's Comedy",
        "2\tGoldenEye\t1996\tAction Thriller",
        "3\tUnknown\tunkonwn\tAction",
        "4\tNo Genre\t\t",
    ]
    randomness = random.Random(1)
    ratings = ["user_id:token\titem_id:token\trating:float\ttimestamp:float"]
    for number in range(120):
        user, item = 1 + number % 5, randomness.randint(1, 4)
        ratings.append(f"{user}\t{item}\t{randomness.randint(1, 5)}\t{880000000 + number * 7001}")
    for name, lines in (("user", users), ("item", items), ("inter", ratings)):
        (folder / f"ml-100k.{name}").write_text("\n".join(lines) + "\n")
    return folder
