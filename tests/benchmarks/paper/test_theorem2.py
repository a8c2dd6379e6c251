"""Theorem 2's experiment: its networks, its statistics and its correlations, against plain ones."""

import numpy as np
import polars as pl
import pytest
import torch
from scipy.stats import kendalltau, spearmanr

from benchmarks.paper.theorem2 import (
    FINAL,
    STATISTICS,
    WARMUPS,
    Networks,
    batch_order,
    digits,
    main,
    measure,
)

SEEDS, WIDTHS = (3, 4), (2, 6, 5)


def _batches(count: int, seed: int = 0) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Batches of 16 images of 7 pixels, others for each seed."""
    generator = torch.Generator().manual_seed(seed)
    return [
        (
            torch.rand(len(SEEDS), 16, 7, generator=generator),
            torch.randint(10, (len(SEEDS), 16), generator=generator),
        )
        for _ in range(count)
    ]


def _alone(networks: Networks, seed: int, width: int) -> torch.nn.Sequential:
    """One of the networks as PyTorch has it."""
    first, first_bias, second, second_bias = (
        parameter.detach()[SEEDS.index(seed), WIDTHS.index(width)] for parameter in networks.parameters
    )
    model = torch.nn.Sequential(torch.nn.Linear(7, width), torch.nn.ReLU(), torch.nn.Linear(width, 10))
    with torch.no_grad():
        model[0].weight.copy_(first[:, :width].T)
        model[0].bias.copy_(first_bias[0, :width])
        model[2].weight.copy_(second[:width].T)
        model[2].bias.copy_(second_bias[0])
    return model


@pytest.mark.parametrize("steps", [0, 5])
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("seed", SEEDS)
def test_a_network_trains_and_measures_as_it_does_alone(seed, width, steps):
    networks = Networks(7, WIDTHS, SEEDS)
    model = _alone(networks, seed, width)
    sgd = torch.optim.SGD(model.parameters(), lr=0.3)
    row, column = SEEDS.index(seed), WIDTHS.index(width)
    for pixels, classes in _batches(steps):
        networks.step(networks.gradients(networks.losses(pixels, classes)), learning_rate=0.3)
        sgd.zero_grad()
        torch.nn.functional.cross_entropy(model(pixels[row]), classes[row]).backward()
        sgd.step()
    losses, products, absolutes = [], [], []
    batches = _batches(3, seed=1)
    for pixels, classes in batches:
        loss = torch.nn.functional.cross_entropy(model(pixels[row]), classes[row])
        gradient = torch.cat([part.flatten() for part in torch.autograd.grad(loss, list(model.parameters()))])
        losses.append(loss.item())
        products.append(torch.dot(torch.nn.utils.parameters_to_vector(model.parameters()), gradient).item())
        absolutes.append(gradient.abs().sum().item())
    expected = (np.mean(losses), np.sqrt(np.mean(np.square(products))), np.mean(absolutes))
    found = measure(networks, batches)
    for statistic, value in zip(STATISTICS, expected, strict=True):
        assert found[statistic][row, column].item() == pytest.approx(value, rel=1e-4, abs=1e-6)


def test_a_seed_and_a_width_always_start_at_the_same_weights():
    first, again = Networks(7, (4, 6), (0, 1)), Networks(7, (6,), (1,))
    for whole, part in zip(first.parameters, again.parameters, strict=True):
        assert torch.equal(whole[1:, 1:], part)
    assert not torch.equal(first.parameters[0][0], first.parameters[0][1])


def test_every_pass_sees_every_image_once():
    order = batch_order(64, 6, seed=0).flatten()
    for start in range(0, 6 * 128, 64):
        assert sorted(order[start : start + 64].tolist()) == list(range(64))
    assert torch.equal(order, batch_order(64, 6, seed=0).flatten())
    assert not torch.equal(order, batch_order(64, 6, seed=1).flatten())


def test_no_image_is_for_training_and_for_the_test():
    images = digits()
    assert (len(images.train_pixels), len(images.test_pixels)) == (1437, 360)
    assert images.train_pixels.min() == 0
    assert images.train_pixels.max() == 1
    # Shares of the classes are the same in both parts.
    shares = [
        torch.bincount(classes).double() / len(classes) for classes in (images.train_classes, images.test_classes)
    ]
    assert torch.allclose(*shares, atol=0.003)


def test_the_command_prints_the_published_figures_beside_its_own_and_writes_its_files(tmp_path, capsys):
    main(["--output", str(tmp_path / "out"), "--seeds", "1", "--steps", "193"])
    printed = capsys.readouterr().out
    assert (tmp_path / "out" / "table.md").read_text() in printed
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in printed.splitlines() if line.startswith("|")]
    assert [row[:2] for row in rows[2:]] == [[statistic, warmup] for statistic in STATISTICS for warmup in WARMUPS]
    published = [float(row[3].replace("−", "-")) for row in rows[2:]]
    assert published == [0.30, 0.71, 0.80, -0.31, -0.61, -0.71, -0.48, -0.54, -0.58]
    networks = pl.read_csv(tmp_path / "out" / "networks.csv")
    assert networks["width"].to_list() == list(range(2, 50, 2))
    for row in rows[2:]:
        for place, correlation, final in ((2, spearmanr, 0), (4, spearmanr, 1), (5, kendalltau, 0), (6, kendalltau, 1)):
            expected = correlation(networks[f"{row[0]} at {row[1]}"], networks[FINAL[final]]).statistic
            value, low, high = (float(text.strip("[],").replace("−", "-")) for text in row[place].split())
            assert low < value < high
            assert value == pytest.approx(expected, abs=0.0051)
    # The widest has learned more than the narrowest.
    assert networks[FINAL[0]][-1] < networks[FINAL[0]][0]
    assert "<html>" in (tmp_path / "out" / "plot.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--steps", "192"], "--steps 192: it must be above 192"),
        (["--seeds", "0"], "--seeds 0: it must be 1 or more"),
        (["--learning-rate", "0"], "--learning-rate 0.0: it must be above 0"),
    ],
)
def test_settings_that_cannot_be_are_refused(arguments, reason, capsys):
    with pytest.raises(SystemExit):
        main(arguments)
    assert reason in capsys.readouterr().err
