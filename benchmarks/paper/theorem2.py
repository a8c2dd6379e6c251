"""Theorem 2 of SiGeo, small: do training loss, Fisher-Rao norm and mean absolute gradient tell the final losses?

    python -m benchmarks.paper.theorem2 --output runs/paper/theorem2

Trains two-layer ReLU networks of widths 2, 4 … 48, several seeds each, measures the three statistics after 0, 48 and
192 steps of SGD (0, 10 and 40 % warm-up) and correlates each, over all networks, with the training and the test loss
at the end. Prints the rank correlations beside the published ones; writes `table.md`, `networks.csv` and `plot.html`.

The setup is the paper's (Section 4.1, Appendix F.1; Figures 2 and 5 - 7) where it states one: widths, 1,407 steps of
128 images (3 epochs of MNIST), 10 and 40 % of one such epoch as warm-up, and the statistics of the four batches that
follow. A learning rate of 0.2 and pixels from 0 to 1 are as in the paper's public notebook. What differs:

- scikit-learn's digits (1,797 images of 8 x 8 pixels) stand in for MNIST: four fifths for training, the rest for the
  test, stratified. As many steps pass over them 125 times, so that the networks are trained nearer to their end.
- Several seeds of every width; all networks of a seed see the same batches. 95 % intervals are of resampled networks.
- The four batches' gradients are taken at the same weights. The notebook steps before each: its 0 % are networks after
  one to four steps, by when the Fisher-Rao norm's correlation has turned negative here, too.
- The logits have no ReLU after them; in the notebook they do.

The sign of the Fisher-Rao norm's correlation depends on how far the training is. A good network has a large norm while
its loss falls, and a small one when little is left to learn, which on digits is sooner: with `--learning-rate 0.05`
192 steps are still early.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import plotly.graph_objects as go
import polars as pl
import torch
from plotly.subplots import make_subplots
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor
from torch.nn import functional

from benchmarks.paper.sections import MARKDOWN, PLOT, Section
from recnas.report.style import FONT, INK, PAPER, axis, plot_layout
from recnas.study.analysis import RESAMPLES, Bootstrap, Estimate

WIDTHS = tuple(range(2, 50, 2))
WARMUPS = {"0 %": 0, "10 %": 48, "40 %": 192}
STEPS = 1407
BATCH_SIZE = 128
NUM_BATCHES = 4
LEARNING_RATE = 0.2
SEEDS = 5
CLASSES = 10

TITLE = "Theorem 2: what tells the final loss"
NETWORKS = "networks.csv"

STATISTICS = ("training loss", "FR norm", "mean absolute gradient")
FINAL = ("final test loss", "final training loss")
PUBLISHED = {
    "training loss": (0.30, 0.71, 0.80),
    "FR norm": (-0.31, -0.61, -0.71),
    "mean absolute gradient": (-0.48, -0.54, -0.58),
}
"""Spearman's correlation with the final test loss, by warm-up (Figures 2 and 5 - 7)."""

HEADER = ("statistic", "warm-up", "ρ, test", "published", "ρ, training", "τ, test", "τ, training")
_LOSS_TICKS = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2]


@dataclass(frozen=True)
class Images:
    """What the networks learn: `[N, D]` pixels from 0 to 1 and `[N]` classes, for training and for the test."""

    train_pixels: Tensor
    train_classes: Tensor
    test_pixels: Tensor
    test_classes: Tensor


def digits() -> Images:
    """scikit-learn's digits, four fifths of them for training; always the same ones."""
    pixels, classes = load_digits(return_X_y=True)
    parts = train_test_split(pixels / 16, classes, test_size=0.2, stratify=classes, random_state=0)
    train_pixels, test_pixels = (torch.tensor(part, dtype=torch.float32) for part in parts[:2])
    train_classes, test_classes = (torch.tensor(part, dtype=torch.int64) for part in parts[2:])
    return Images(train_pixels, train_classes, test_pixels, test_classes)


class Networks:
    """Networks `Linear(D → width) → ReLU → Linear(width → 10)` of S seeds and W widths, trained at once.

    Hidden units beyond a network's width have zeros for weights. Their activations are zero, and so are all their
    gradients: each network trains as it would alone.

    Args:
        num_inputs: D.
        widths: W widths, H the largest.
        seeds: of the start values, PyTorch's for a Linear: uniform, up to 1 / √inputs.

    Attributes:
        parameters: `[S, W, D, H]`, `[S, W, 1, H]`, `[S, W, H, 10]`, `[S, W, 1, 10]`.
    """

    def __init__(self, num_inputs: int, widths: Sequence[int], seeds: Sequence[int]) -> None:
        most = max(widths)
        shapes = ((num_inputs, most), (1, most), (most, CLASSES), (1, CLASSES))
        self.parameters = [torch.zeros(len(seeds), len(widths), *shape) for shape in shapes]
        for row, seed in enumerate(seeds):
            for column, width in enumerate(widths):
                generator = torch.Generator().manual_seed(1000 * seed + width)
                slices = ((num_inputs, width), (1, width), (width, CLASSES), (1, CLASSES))
                fans = (num_inputs, num_inputs, width, width)
                for parameter, (rows, columns), fan in zip(self.parameters, slices, fans, strict=True):
                    start = (2 * torch.rand(rows, columns, generator=generator) - 1) / fan**0.5
                    parameter[row, column, :rows, :columns] = start
        for parameter in self.parameters:
            parameter.requires_grad_()

    def losses(self, pixels: Tensor, classes: Tensor) -> Tensor:
        """`[S, W]`: each network's mean cross entropy.

        Args:
            pixels: `[S, B, D]`, a batch a seed.
            classes: `[S, B]`.
        """
        first, first_bias, second, second_bias = self.parameters
        hidden = functional.relu(pixels.unsqueeze(1) @ first + first_bias)
        scores = functional.log_softmax(hidden @ second + second_bias, dim=-1)
        places = classes[:, None, :, None].expand(-1, scores.shape[1], -1, -1)
        return -scores.gather(-1, places).mean(dim=(2, 3))

    def gradients(self, losses: Tensor) -> tuple[Tensor, ...]:
        """Of each network's loss, shaped as `parameters`: a network's loss depends on its own parameters only."""
        return torch.autograd.grad(losses.sum(), self.parameters)

    def step(self, gradients: Sequence[Tensor], learning_rate: float) -> None:
        """One step of SGD."""
        with torch.no_grad():
            for parameter, gradient in zip(self.parameters, gradients, strict=True):
                parameter -= learning_rate * gradient


def measure(networks: Networks, batches: Sequence[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
    """The three statistics of each network, `[S, W]`, from a batch's loss and its gradient gₙ, n = 1 … N, at weights θ.

    - training loss: the mean over n;
    - FR norm: ((1/N) Σₙ (θᵀ gₙ)²)^½, the Fisher-Rao norm with the empirical Fisher information (Section 3.4);
    - mean absolute gradient: the sum over all parameters of the mean over n of |gₙ|, Theorem 2's ‖·‖₁.

    Args:
        networks: left as they are.
        batches: N batches as `Networks.losses` takes them.
    """
    losses, squares, absolutes = [], [], []
    for pixels, classes in batches:
        loss = networks.losses(pixels, classes)
        gradients = networks.gradients(loss)
        products = [(p.detach() * g).sum(dim=(2, 3)) for p, g in zip(networks.parameters, gradients, strict=True)]
        losses.append(loss.detach())
        squares.append(sum(products) ** 2)
        absolutes.append(sum(gradient.abs().sum(dim=(2, 3)) for gradient in gradients))
    means = [torch.stack(values).mean(dim=0) for values in (losses, squares, absolutes)]
    return dict(zip(STATISTICS, (means[0], means[1].sqrt(), means[2]), strict=True))


def batch_order(num_images: int, steps: int, seed: int) -> Tensor:
    """`[steps, BATCH_SIZE]`: which images each step sees; they are shuffled anew after every pass."""
    generator = torch.Generator().manual_seed(seed)
    needed = steps * BATCH_SIZE
    passes = [torch.randperm(num_images, generator=generator) for _ in range(-(-needed // num_images))]
    return torch.cat(passes)[:needed].view(steps, BATCH_SIZE)


def train_and_measure(
    images: Images, widths: Sequence[int], seeds: Sequence[int], steps: int, learning_rate: float
) -> pl.DataFrame:
    """Trains a network of each width with each seed.

    Returns:
        A row a network: `width`, `seed`, each statistic at each warm-up (`FR norm at 10 %`), both final losses.
    """
    networks = Networks(images.train_pixels.shape[1], widths, seeds)
    # A measurement after the last step still needs batches.
    orders = torch.stack([batch_order(len(images.train_pixels), steps + NUM_BATCHES, seed) for seed in seeds])

    def batch(step: int) -> tuple[Tensor, Tensor]:
        chosen = orders[:, step]
        return images.train_pixels[chosen], images.train_classes[chosen]

    values: dict[str, Tensor] = {}
    for step in range(steps):
        for name, warmup in WARMUPS.items():
            if step == warmup:
                found = measure(networks, [batch(step + place) for place in range(NUM_BATCHES)])
                values |= {f"{statistic} at {name}": found[statistic] for statistic in STATISTICS}
        networks.step(networks.gradients(networks.losses(*batch(step))), learning_rate)
    parts = ((images.test_pixels, images.test_classes), (images.train_pixels, images.train_classes))
    with torch.no_grad():
        for name, (pixels, classes) in zip(FINAL, parts, strict=True):
            values[name] = networks.losses(pixels.expand(len(seeds), -1, -1), classes.expand(len(seeds), -1))
    keys = {"width": list(widths) * len(seeds), "seed": [seed for seed in seeds for _ in widths]}
    return pl.DataFrame(keys | {name: value.flatten().double().numpy() for name, value in values.items()})


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "\N{MINUS SIGN}")


def _cell(estimate: Estimate) -> str:
    return f"{_signed(estimate.value)} [{_signed(estimate.low)}, {_signed(estimate.high)}]"


def correlations(networks: pl.DataFrame) -> list[tuple[str, ...]]:
    """Cells below `HEADER`, a row for each statistic and warm-up."""
    rows = []
    test, training = (networks[name].to_numpy() for name in FINAL)
    bootstrap = Bootstrap(len(networks), seed=0)
    for statistic in STATISTICS:
        for published, warmup in zip(PUBLISHED[statistic], WARMUPS, strict=True):
            x = networks[f"{statistic} at {warmup}"].to_numpy()
            cells = [
                _cell(correlation(x, y)) for correlation in (bootstrap.rho, bootstrap.tau) for y in (test, training)
            ]
            rows.append((statistic, warmup, cells[0], _signed(published), *cells[1:]))
    return rows


def plot(networks: pl.DataFrame) -> go.Figure:
    """Each statistic at each warm-up against the final test loss, as the paper's Figures 2 and 5 - 7 have it."""
    test = networks["final test loss"].to_numpy()
    bootstrap = Bootstrap(len(networks), seed=0)
    places = [(statistic, warmup) for statistic in STATISTICS for warmup in WARMUPS]
    published = [rho for statistic in STATISTICS for rho in PUBLISHED[statistic]]
    columns = [networks[f"{statistic} at {warmup}"].to_numpy() for statistic, warmup in places]
    titles = [
        f"<b>{warmup} warm-up</b>  ρ = {_signed(bootstrap.rho(x, test).value)} (published {_signed(rho)})"
        for (_, warmup), x, rho in zip(places, columns, published, strict=True)
    ]
    figure = make_subplots(rows=3, cols=3, subplot_titles=titles, horizontal_spacing=0.06, vertical_spacing=0.11)
    for place, ((statistic, _), x) in enumerate(zip(places, columns, strict=True)):
        row, column = place // 3 + 1, place % 3 + 1
        figure.add_scatter(
            x=x,
            y=test,
            text=networks["width"],
            mode="markers",
            marker={
                "color": networks["width"],
                "coloraxis": "coloraxis",
                "size": 7,
                "line": {"color": PAPER, "width": 1},
            },
            hovertemplate=f"width %{{text}}<br>{statistic} %{{x:.4~f}}<br>final test loss %{{y:.4f}}<extra></extra>",
            row=row,
            col=column,
        )
        figure.update_xaxes(axis(statistic, nticks=6), row=row, col=column)
        title = "final test loss" if column == 1 else ""
        figure.update_yaxes(axis(title, type="log", tickvals=_LOSS_TICKS), row=row, col=column)
    figure.update_layout(plot_layout(1000, showlegend=False))
    figure.update_layout(coloraxis={"colorscale": "Viridis", "colorbar": {"title": "width", "thickness": 12}})
    figure.update_annotations(font={"size": 13.5, "color": INK, "family": FONT})
    return figure


def run(output: Path, seeds: int = SEEDS, steps: int = STEPS, learning_rate: float = LEARNING_RATE) -> Section:
    """Trains, measures and correlates; writes what was found.

    Args:
        output: Folder of the files.
        seeds: Networks of each width.
        steps: Of SGD; more than the longest warm-up.
        learning_rate: Of SGD.
    """
    start = time.process_time()
    networks = train_and_measure(digits(), WIDTHS, range(seeds), steps, learning_rate)
    seconds = time.process_time() - start
    text = (
        f"{len(networks)} networks of widths {WIDTHS[0]} … {WIDTHS[-1]} after {steps:,} steps, learning rate "
        f"{learning_rate:g}, {seconds:.0f} s of processor time. Spearman's ρ and Kendall's τ with the final "
        f"losses; 95 % intervals of {RESAMPLES:,} resamples. Published: ρ with the test loss, on MNIST."
    )
    section = Section(TITLE, (text,), HEADER, tuple(correlations(networks)), (NETWORKS,), figure=plot(networks))
    section.save(output, {NETWORKS: networks.write_csv()})
    return section


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the experiment; see the top of the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--output", type=Path, default=Path("runs/paper/theorem2"), help="folder of the files it writes"
    )
    parser.add_argument("--seeds", type=int, default=SEEDS, help=f"networks of each width (default: {SEEDS})")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"steps of SGD (default: {STEPS})")
    parser.add_argument("--learning-rate", type=float, default=LEARNING_RATE, help=f"of SGD (default: {LEARNING_RATE})")
    arguments = parser.parse_args(argv)
    if arguments.seeds < 1:
        parser.error(f"--seeds {arguments.seeds}: it must be 1 or more")
    if arguments.steps <= (last := max(WARMUPS.values())):
        parser.error(f"--steps {arguments.steps}: it must be above {last}, the steps of the longest warm-up")
    if not 0 < arguments.learning_rate < math.inf:
        parser.error(f"--learning-rate {arguments.learning_rate}: it must be above 0")
    section = run(arguments.output, arguments.seeds, arguments.steps, arguments.learning_rate)
    print(f"{section.markdown}\n{MARKDOWN}, {NETWORKS} and {PLOT} are in {arguments.output}")


if __name__ == "__main__":
    main()
