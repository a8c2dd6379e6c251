"""Training in two processes: how much faster than in one, how it compares with a plain loop, and what a kill costs.

    python benchmarks/processes.py rates data/synthetic              # rows a second
    python benchmarks/processes.py kills models/demo data/movielens    # kills one of two processes, 10 times

`rates` trains DLRM, on tables capped as in a search, with one thread a process: by `recnas.train`'s loop, and by a
loop of TorchRec's DistributedModelParallel without it, in turns; it prints medians. The global batch is the same for
all.

`kills` goes on training an exported model with `torchrun`, sends SIGKILL to one of its two processes at a random
moment, gives the same command again, and compares the model with that of a training left alone, bit for bit. Exit code
1 if one is another one, if a job does not end by itself, or says nothing that a user would understand.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

WARM_UP, TABLE_ROWS = 20, 500_000
"""Steps before the clock starts; the largest table."""
LIMIT = 120
"""Seconds after which a job that lost a process hangs."""
LOST = "lost another process of the job; the same command with --resume goes on"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(required=True)
    rates = parts.add_parser("rates", help="rows a second")
    rates.add_argument("data", type=Path, metavar="DATA")
    rates.add_argument("--batch-size", type=int, default=2048, help="rows a step, of all processes (default: 2048)")
    rates.add_argument("--steps", type=int, default=80, help="timed steps of a training (default: 80)")
    rates.add_argument("--repeat", type=int, default=5, help="trainings of each kind (default: 5)")
    rates.add_argument("--kind", choices=KINDS, help=argparse.SUPPRESS)
    rates.set_defaults(run=measure_rates)
    kills = parts.add_parser("kills", help="kills and goes on")
    kills.add_argument("model", type=Path, metavar="MODEL")
    kills.add_argument("data", type=Path, metavar="DATA")
    kills.add_argument("--kills", type=int, default=10)
    kills.add_argument(
        "--seed", type=int, default=random.SystemRandom().getrandbits(31), help="of the moments (default: a new one)"
    )
    kills.set_defaults(run=measure_kills)
    arguments = parser.parse_args()
    return arguments.run(arguments)


def torchrun(processes: int, *arguments: object) -> list[str]:
    """The command that starts so many processes of this machine."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    return [*launcher, *map(str, arguments)]


def measure_rates(arguments: argparse.Namespace) -> int:
    """Trains in turns and prints medians; with `--kind`, this is one of the processes that are measured."""
    if arguments.kind is not None:
        rate = KINDS[arguments.kind](arguments)
        if os.environ["RANK"] == "0":
            print(f"rate {rate}", flush=True)
        return 0
    rates: dict[tuple[str, int], list[float]] = {}
    for _ in range(arguments.repeat):
        for kind in KINDS:
            for processes in (1, 2):
                flags = ["--batch-size", arguments.batch_size, "--steps", arguments.steps, "--kind", kind]
                command = torchrun(processes, __file__, "rates", arguments.data, *flags)
                told = subprocess.run(
                    command, check=True, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
                ).stdout
                (rate,) = (float(line.split()[1]) for line in told.splitlines() if line.startswith("rate "))
                rates.setdefault((kind, processes), []).append(rate)
    print(f"DLRM, {arguments.batch_size:,} rows a step, one thread a process, {arguments.repeat} trainings of each\n")
    print("| training | 1 process, rows/s | 2 processes, rows/s | ratio |\n| --- | --- | --- | --- |")
    for kind in KINDS:
        one, two = (statistics.median(rates[kind, processes]) for processes in (1, 2))
        ratio = statistics.median(b / a for a, b in zip(rates[kind, 1], rates[kind, 2], strict=True))
        print(f"| {kind} | {one:,.0f} | {two:,.0f} | {ratio:.2f} |")
    for processes in (1, 2):
        pairs = zip(rates["recnas", processes], rates["plain", processes], strict=True)
        ratio = statistics.median(ours / plain for ours, plain in pairs)
        print(f"\nrecnas to the plain loop, {processes} process{'es' * (processes > 1)}: {ratio:.2f}", end="")
    print()
    return 0


def by_recnas(arguments: argparse.Namespace) -> float:
    """Rows a second of `recnas.train`'s loop."""
    from recnas.candidates.recipe import Optimization
    from recnas.data import Dataset
    from recnas.nn.baselines.registry import find_baseline
    from recnas.nn.embeddings import ShardedEmbeddings
    from recnas.nn.model import CTRModel
    from recnas.nn.processes import all_processes
    from recnas.train.loop import ModelLearner, train

    dataset, processes = Dataset(arguments.data), all_processes("cpu")
    schema, optimization = dataset.schema.capped(TABLE_ROWS), Optimization(0.01, arguments.batch_size)
    embeddings = ShardedEmbeddings(schema, 16, optimization.of_tables, processes=processes)
    learner = ModelLearner(CTRModel(schema, embeddings, find_baseline("dlrm").network(schema)), optimization)
    clock = Clock(arguments)
    batches = dataset.batches(
        "train",
        arguments.batch_size,
        seed=0,
        max_rows_per_table=TABLE_ROWS,
        rank=processes.rank,
        world_size=processes.size,
    )
    steps = WARM_UP + arguments.steps
    train(learner, islice(batches, steps), steps=steps, after_step=lambda step, _: clock.tick(step))
    return clock.rate


def by_plain_loop(arguments: argparse.Namespace) -> float:
    """Rows a second of a loop as TorchRec's own examples have it."""
    import torch
    import torch.distributed as dist
    from fbgemm_gpu.split_embedding_configs import EmbOptimType
    from torch.nn import functional as F
    from torchrec import EmbeddingBagCollection, EmbeddingBagConfig
    from torchrec.distributed import DistributedModelParallel
    from torchrec.distributed.embeddingbag import EmbeddingBagCollectionSharder
    from torchrec.distributed.planner import EmbeddingShardingPlanner, ParameterConstraints, Topology

    from recnas.data import Dataset
    from recnas.nn.baselines.registry import find_baseline

    dist.init_process_group("gloo")
    rank, size = dist.get_rank(), dist.get_world_size()
    dataset = Dataset(arguments.data)
    schema = dataset.schema.capped(TABLE_ROWS)
    names = [feature.name for feature in schema.sparse]

    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            tables = [
                EmbeddingBagConfig(
                    name=f"t{place}",
                    num_embeddings=feature.rows,
                    embedding_dim=16,
                    feature_names=[feature.name],
                )
                for place, feature in enumerate(schema.sparse)
            ]
            self.tables = EmbeddingBagCollection(tables=tables, device=torch.device("meta"))
            self.network = find_baseline("dlrm").network(schema)

        def forward(self, dense, sparse):
            pooled = self.tables(sparse).to_dict()
            return self.network(dense, torch.stack([pooled[name] for name in names], dim=1))

    sharder = EmbeddingBagCollectionSharder(
        fused_params={"optimizer": EmbOptimType.EXACT_ROWWISE_ADAGRAD, "learning_rate": 0.01, "eps": 0.01}
    )
    model = Model()
    constraint = ParameterConstraints(sharding_types=["table_wise"], compute_kernels=["fused"])
    planner = EmbeddingShardingPlanner(
        topology=Topology(world_size=size, compute_device="cpu"),
        constraints={f"t{place}": constraint for place in range(len(names))},
    )
    plan = planner.collective_plan(model, [sharder], dist.GroupMember.WORLD)
    model = DistributedModelParallel(model, device=torch.device("cpu"), plan=plan, sharders=[sharder])
    dense = [parameter for name, parameter in model.named_parameters() if "tables" not in name]
    optimizer = torch.optim.Adagrad(dense, lr=0.01, eps=0.01, fused=True)
    clock = Clock(arguments)
    batches = dataset.batches(
        "train", arguments.batch_size, seed=0, max_rows_per_table=TABLE_ROWS, rank=rank, world_size=size
    )
    for step, batch in enumerate(islice(batches, WARM_UP + arguments.steps), start=1):
        optimizer.zero_grad()
        loss = F.binary_cross_entropy_with_logits(model(batch.dense, batch.sparse), batch.label)
        loss.backward()
        optimizer.step()
        clock.tick(step)
    return clock.rate


KINDS = {"recnas": by_recnas, "plain": by_plain_loop}


class Clock:
    """Rows a second of the steps after the first ones."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.rows, self.steps, self.start, self.rate = arguments.batch_size, arguments.steps, 0.0, 0.0

    def tick(self, step: int) -> None:
        """Told of each step that is done, from 1."""
        if step == WARM_UP:
            self.start = time.perf_counter()
        elif step == WARM_UP + self.steps:
            self.rate = self.rows * self.steps / (time.perf_counter() - self.start)


def measure_kills(arguments: argparse.Namespace) -> int:
    """Kills one of two processes again and again."""
    good = 0
    print(f"--seed {arguments.seed} draws the same moments again\n", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        alone = Path(folder) / "alone"
        start = time.monotonic()
        code, told = ended(job(arguments, alone))
        if code:
            sys.exit(f"a training left alone failed: {told}")
        seconds = time.monotonic() - start
        print(f"left alone: {seconds:.1f} s\n\nkill process   after  ended after  outcome", flush=True)
        for kill in range(1, arguments.kills + 1):
            # Each kill draws for itself: one that missed the training and is tried again moves none of the others.
            rng = random.Random(f"{arguments.seed}/{kill}")
            output, rank = Path(folder) / f"killed-{kill}", rng.randrange(2)
            while True:
                process, begun = job(arguments, output), time.monotonic()
                time.sleep(rng.uniform(0.1, 0.95) * seconds)
                if (pid := pid_of(process.pid, rank)) is not None:
                    break
                # It had not begun, or had ended.
                ended(process)
                remove(output)
            os.kill(pid, signal.SIGKILL)
            after, killed_at = time.monotonic() - begun, time.monotonic()
            code, told = ended(process)
            took = time.monotonic() - killed_at
            again, told_again = ended(job(arguments, output))
            equal = not again and weights(output) == weights(alone)
            # Before the processes know each other, `torchrun` alone tells.
            clean = code == 1 and (LOST in told or "SIGKILL" in told)
            good += equal and clean
            outcome = "equal" if equal else f"NOT EQUAL {told_again}"
            ending = "" if clean else f", not a clean end: {told[-300:]}"
            print(f"{kill:>4} {rank:>7} {after:>5.1f} s {took:>9.1f} s  {outcome}{ending}", flush=True)
            remove(output)
    print(f"\n{arguments.kills} kills, {good} clean ends with an equal model after going on")
    return 0 if good == arguments.kills else 1


def job(arguments: argparse.Namespace, output: Path) -> subprocess.Popen[str]:
    """`torchrun … recnas train`, new or gone on with."""
    flags = ["--output", output, "--resume", "--checkpoint-seconds", "0.5"]
    command = torchrun(2, "-m", "--", "recnas", "train", arguments.model, "--data", arguments.data, *flags)
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Waits for a job; gives its exit code and what it said."""
    try:
        _, told = process.communicate(timeout=LIMIT)
    except subprocess.TimeoutExpired:
        process.kill()
        sys.exit(f"a job did not end within {LIMIT} s")
    return process.returncode, told


def pid_of(launcher: int, rank: int) -> int | None:
    """The process of a rank that `torchrun` has started, if it is there."""
    for pid in children(launcher):
        try:
            environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if f"RANK={rank}".encode() in environment:
            return pid
    return None


def children(pid: int) -> Iterator[int]:
    """The processes that a process has started."""
    try:
        yield from map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split())
    except OSError:
        return


def weights(output: Path) -> dict[str, bytes]:
    """A model's weights, bit for bit."""
    from safetensors.torch import load_file

    return {name: tensor.numpy().tobytes() for name, tensor in load_file(output / "weights.safetensors").items()}


def remove(output: Path) -> None:
    """Removes a model and the state of its training."""
    import shutil

    for folder in (output, output.with_name(output.name + ".checkpoint")):
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
