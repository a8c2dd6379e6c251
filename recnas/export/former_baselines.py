"""Baselines as recnas 0.1 wrote them: weights by other names, and numbers made fields inside the network."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from recnas.candidates.network import Baseline, Network
from recnas.features.number_field import NumberField
from recnas.features.schema import Schema
from recnas.train.checkpoint import NETWORK

ALL_FIELDS, LINEAR, BILINEAR = f"{NETWORK}all_fields.weight", f"{NETWORK}linear.weight", f"{NETWORK}fusion.bilinear."
FORMER = tuple(map(Baseline, ("lr", "dlrm", "deepfm", "xdeepfm", "autoint+", "dcnv2", "finalmlp")))
"""Those that 0.1 had."""
_LAYERS = re.compile(
    r"(?P<mlp>network\.(?:deep|stream_[12]\.1|stream_[12]\.0\.gate\.0|bottom|top))"
    r"\.(?:model\.(?:0\.)?_mlp\.)?(?P<place>\d+)\.(?:_linear\.)?(?P<kind>weight|bias)"
)
"""A hidden layer's weight: the MLP, the layer's place among all that the MLP was made of, weight or bias."""
_LAST_OF_DLRM = re.compile(r"network\.top\.model\.1\.(?P<kind>weight|bias)")


def is_former(network: Network, names: Iterable[str]) -> bool:
    """Whether a network is a baseline whose weights have the names of 0.1."""
    return network in FORMER and any(
        name.startswith((ALL_FIELDS, BILINEAR)) or _LAYERS.fullmatch(name) for name in names
    )


def with_number_fields(schema: Schema, names: Iterable[str]) -> Schema:
    """The schema by which a network of now is fed what such a baseline was."""
    if ALL_FIELDS not in names:
        return schema
    return replace(schema, number_fields=tuple(NumberField(item.name) for item in schema.dense), reads_columns=False)


def with_present_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights as a network of now has them."""
    renamed, places = {}, _places(tensors)
    for name, tensor in tensors.items():
        if layer := _LAYERS.fullmatch(name):
            mlp, place = layer["mlp"], int(layer["place"])
            renamed[f"{mlp}.{places[mlp].index(place)}.linear.{layer['kind']}"] = tensor
        elif last := _LAST_OF_DLRM.fullmatch(name):
            renamed[f"{NETWORK}last.{last['kind']}"] = tensor
        else:
            renamed[name] = tensor
    heads = sorted(name for name in renamed if name.startswith(BILINEAR))
    if heads:
        renamed[BILINEAR.rstrip(".")] = torch.stack([renamed.pop(name).t() for name in heads])
    if ALL_FIELDS not in renamed:
        return renamed
    vectors = renamed.pop(ALL_FIELDS)
    if LINEAR in renamed:
        vectors = torch.cat([vectors, renamed.pop(LINEAR)], dim=1)
    inner = {name: tensor for name, tensor in renamed.items() if name.startswith(NETWORK)}
    others = {name: tensor for name, tensor in renamed.items() if name not in inner}
    return others | {f"{NETWORK}numbers.vectors": vectors} | {NETWORK + name: tensor for name, tensor in inner.items()}


def _places(names: Iterable[str]) -> dict[str, list[int]]:
    """Of each MLP, the places of its linear layers among its activations and dropouts."""
    places: dict[str, set[int]] = {}
    for name in names:
        if layer := _LAYERS.fullmatch(name):
            places.setdefault(layer["mlp"], set()).add(int(layer["place"]))
    return {mlp: sorted(found) for mlp, found in places.items()}
