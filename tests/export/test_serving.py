"""From a raw file to a probability: the offline path against raw rows, in the model, its program and its project."""

import random

import numpy as np
import pytest
import torch

from recnas.candidates.recipe import Recipe
from recnas.data import Dataset, batch_of
from recnas.data_prep import prepare
from recnas.export import load
from recnas.export.program import save_program
from recnas.export.project import write_project
from recnas.export.record import Stage, TrainingRecord
from recnas.features.schema import SPLITS
from recnas.nn.embeddings import WholeEmbeddings
from recnas.nn.model import CTRModel, searched_network
from recnas.train.checkpoint import model_tensors
from recnas.train.tensor_files import save_tensors
from tests.export.conftest import OPTIMIZATION
from tests.export.test_project import serve_of


@pytest.fixture
def raw_rows():
    randomness = random.Random(0)
    return [
        {
            "click": str(randomness.randint(0, 1)),
            "price": randomness.choice(["", "3.5", "-1", "1200"]),
            "user": randomness.choice(["", "5", "5.0", "anna", "4294967297"]),
            "item": str(randomness.randint(0, 300)),
            "tags": randomness.choice(["", "a", "a|b", "b|7|7"]),
        }
        for _ in range(300)
    ]


@pytest.mark.parametrize("max_rows", [None, 50])
def test_the_probability_of_a_raw_row_is_that_of_the_prepared_one(finished, raw_rows, tmp_path, max_rows):
    raw = tmp_path / "clicks.csv"
    raw.write_text("\n".join([",".join(raw_rows[0]), *(",".join(row.values()) for row in raw_rows)]) + "\n")
    roles = {"label": "click", "dense": ["price"], "sparse": ["user", "item"], "multi": ["tags"]}
    prepare("tabular", tmp_path / "data", raw, progress=False, **roles)
    # A model's tables may be capped; its own schema says how large they are.
    dataset, own = Dataset(tmp_path / "data"), Dataset(tmp_path / "data").schema.capped(max_rows)
    arch, folder = finished.model.network.architecture, tmp_path / "model"
    torch.manual_seed(0)
    model = CTRModel(own, WholeEmbeddings(own, 16), searched_network(own, arch)).eval()
    folder.mkdir()
    arch.save(folder / "architecture.json")
    own.save(folder)
    save_tensors(folder / "weights.safetensors", model_tensors(model))
    save_program(model, folder / "program.pt2")
    write_project(folder / "torchrec", model, TrainingRecord(Recipe(OPTIMIZATION), (Stage("toy", 1, 0.1),)))

    with torch.inference_mode():
        offline = [
            torch.sigmoid(model(b)) for split in SPLITS for b in dataset.batches(split, 64, max_rows_per_table=max_rows)
        ]
        served = load(folder)
        encoded = served.schema.encode(raw_rows)
        online = torch.sigmoid(served(batch_of(encoded, served.schema)))
        program = torch.export.load(folder / "program.pt2").module()(*map(torch.from_numpy, encoded.arrays))
        single = [batch_of(served.schema.encode(row), served.schema) for row in raw_rows[:20]]
        one_by_one = [torch.sigmoid(served(batch)) for batch in single]
        nothing = served.schema.encode([])
        assert torch.sigmoid(served(batch_of(nothing, served.schema))).tolist() == []
        assert torch.export.load(folder / "program.pt2").module()(*map(torch.from_numpy, nothing.arrays)).tolist() == []
        serve = serve_of(folder / "torchrec")
        assert serve.predict(serve.load_model(), []) == []
        project = torch.tensor(serve.predict(serve.load_model(), raw_rows))
    assert online.std() > 1e-4
    # The splits' order is not the file's.
    np.testing.assert_allclose(np.sort(torch.cat(offline)), np.sort(online), rtol=0, atol=1e-6)
    torch.testing.assert_close(program, online, rtol=0, atol=1e-6)
    torch.testing.assert_close(project, online, rtol=0, atol=1e-6)
    torch.testing.assert_close(torch.cat(one_by_one), online[:20], rtol=0, atol=1e-6)
