"""The networks in plain PyTorch: a table a feature, torch's optimisers, rows in memory that a permutation shuffles."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trainers.case import (
    CLIP,
    CROSS_LAYERS,
    DCN_HIDDEN,
    DEEPFM_HIDDEN,
    DIM,
    DLRM_BOTTOM,
    DLRM_TOP,
    LEARNING_RATE,
    Case,
    Clock,
    Log,
    count_macs,
)


def mlp(widths: tuple[int, ...], dropout: float = 0.0) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU(), *([nn.Dropout(dropout)] if dropout else [])]
    return nn.Sequential(*layers)


class Tables(nn.Module):
    def __init__(self, sizes: tuple[int, ...], dim: int, sparse: bool) -> None:
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding(size, dim, sparse=sparse) for size in sizes)
        for table in self.tables:
            nn.init.normal_(table.weight, std=0.01)

    def forward(self, ids: Tensor) -> Tensor:
        return torch.stack([table(ids[:, place]) for place, table in enumerate(self.tables)], dim=1)


class Fields(nn.Module):
    """Embeddings, with numbers as fields before them if wanted: → `[B, m, E]`, and what a deep part reads."""

    def __init__(self, sizes: tuple[int, ...], num_dense: int, numbers: str, sparse: bool) -> None:
        super().__init__()
        self.tables = Tables(sizes, DIM, sparse)
        self.vectors = nn.Parameter(torch.randn(num_dense, DIM) * 0.01) if numbers == "fields" else None
        self.width = (len(sizes) + num_dense) * DIM if numbers == "fields" else len(sizes) * DIM + num_dense

    def forward(self, dense: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
        fields = self.tables(ids)
        if self.vectors is None:
            return fields, torch.cat([fields.flatten(1), dense], dim=1)
        fields = torch.cat([dense.unsqueeze(-1) * self.vectors, fields], dim=1)
        return fields, fields.flatten(1)


class DeepFM(nn.Module):
    def __init__(self, sizes: tuple[int, ...], num_dense: int, case: Case, sparse: bool) -> None:
        super().__init__()
        self.fields = Fields(sizes, num_dense, case.numbers, sparse)
        self.weights = Tables(sizes, 1, sparse)
        self.linear = nn.Linear(num_dense, 1)
        self.deep = mlp((self.fields.width, *DEEPFM_HIDDEN), case.dropout)
        self.last = nn.Linear(DEEPFM_HIDDEN[-1], 1)

    def forward(self, dense: Tensor, ids: Tensor) -> Tensor:
        fields, x = self.fields(dense, ids)
        machine = 0.5 * (fields.sum(1) ** 2 - (fields**2).sum(1)).sum(1)
        first = self.weights(ids).sum((1, 2)) + self.linear(dense).squeeze(1)
        return first + machine + self.last(self.deep(x)).squeeze(1)


class DCNV2(nn.Module):
    def __init__(self, sizes: tuple[int, ...], num_dense: int, case: Case, sparse: bool) -> None:
        super().__init__()
        self.fields = Fields(sizes, num_dense, case.numbers, sparse)
        width = self.fields.width
        self.cross = nn.ModuleList(nn.Linear(width, width) for _ in range(CROSS_LAYERS))
        self.deep = mlp((width, *DCN_HIDDEN), case.dropout)
        self.last = nn.Linear(width + DCN_HIDDEN[-1], 1)

    def forward(self, dense: Tensor, ids: Tensor) -> Tensor:
        _, first = self.fields(dense, ids)
        x = first
        for layer in self.cross:
            x = first * layer(x) + x
        return self.last(torch.cat([x, self.deep(first)], dim=1)).squeeze(1)


class DLRM(nn.Module):
    def __init__(self, sizes: tuple[int, ...], num_dense: int, case: Case, sparse: bool) -> None:
        super().__init__()
        self.tables = Tables(sizes, DIM, sparse)
        self.bottom = mlp((num_dense, *DLRM_BOTTOM, DIM), case.dropout)
        vectors = len(sizes) + 1
        self.pairs = torch.tril_indices(vectors, vectors, offset=-1)
        self.top = mlp((DIM + vectors * (vectors - 1) // 2, *DLRM_TOP), case.dropout)
        self.last = nn.Linear(DLRM_TOP[-1], 1)

    def forward(self, dense: Tensor, ids: Tensor) -> Tensor:
        below = self.bottom(dense)
        vectors = torch.cat([below.unsqueeze(1), self.tables(ids)], dim=1)
        products = torch.bmm(vectors, vectors.transpose(1, 2))[:, self.pairs[0], self.pairs[1]]
        return self.last(self.top(torch.cat([below, products], dim=1))).squeeze(1)


MODELS = {"deepfm": DeepFM, "dcnv2": DCNV2, "dlrm": DLRM}


def optimizers(model: nn.Module, case: Case, sparse: bool) -> list[torch.optim.Optimizer]:
    tables = [module.weight for module in model.modules() if isinstance(module, nn.Embedding)]
    held = {id(table) for table in tables}
    dense = [parameter for parameter in model.parameters() if id(parameter) not in held]
    kind = torch.optim.Adam if case.optimizer == "adam" else torch.optim.Adagrad
    if not sparse:
        return [kind([*dense, *tables], lr=LEARNING_RATE, fused=True)]
    lazy = torch.optim.SparseAdam if case.optimizer == "adam" else torch.optim.Adagrad
    return [kind(dense, lr=LEARNING_RATE, fused=True), lazy(tables, lr=LEARNING_RATE)]


def train(case: Case, log: Log, clock: Clock) -> None:
    sparse = case.library == "plain-sparse"
    dense, label = torch.from_numpy(log.dense), torch.from_numpy(log.label)
    ids = torch.from_numpy(log.ids)
    model = MODELS[case.model](log.tables, dense.shape[1], case, sparse)
    chosen = optimizers(model, case, sparse)
    clock.macs = count_macs(lambda: model(dense[:8], ids[:8].long()), 8)

    def batches() -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        while True:
            for places in torch.randperm(len(label)).split(case.batch_size):
                if len(places) == case.batch_size:
                    yield dense[places], ids[places].long(), label[places]

    for numbers, rows, clicks in clock.over(batches(), case.batch_size):
        for optimizer in chosen:
            optimizer.zero_grad()
        loss = F.binary_cross_entropy_with_logits(model(numbers, rows), clicks)
        if case.penalty:
            loss = loss + case.penalty / 2 * sum(
                module.weight.square().sum() for module in model.modules() if isinstance(module, nn.Embedding)
            )
        loss.backward()
        if case.clipped:
            nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        for optimizer in chosen:
            optimizer.step()
        loss.item()
