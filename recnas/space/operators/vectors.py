"""What the operators over vectors of E columns have in common: fields as they are, and dense inputs made one vector."""

from __future__ import annotations

from collections.abc import Iterator

from recnas.space.operators.base import Layer, OperatorCode, Sizes, Value, linear


def count_vectors(sizes: Sizes) -> int:
    """Fields, and one vector of the dense inputs where there are any."""
    return sizes.fields + (sizes.columns > 0)


def reduction(sizes: Sizes) -> Iterator[Layer]:
    """The linear layer that brings the dense inputs to E columns, unless they have as many."""
    if sizes.columns not in (0, sizes.dim):
        yield linear(sizes.columns, sizes.dim, bias=True)


def write_vectors(code: OperatorCode) -> str:
    """Writes the vectors `[B, E, count]`; gives their expression."""
    parts = [value.name for value in code.sparse]
    if code.dense:
        code.use("joined")
        if sum(value.width for value in code.dense) == code.dim:
            code.set("vector", "joined", code.dense)
        else:
            write_linear(code, "dense", "vectors.dense_linear", code.dense, code.dim)
            code.set("vector", f"self.{code.name}_dense", code.dense)
        parts.append("vector.unsqueeze(2)")
    if len(parts) == 1:
        return parts[0]
    code.step(f"vectors = torch.cat(({', '.join(parts)}), dim=2)")
    return "vectors"


def write_linear(code: OperatorCode, layer: str, own: str, values: list[Value], width: int) -> None:
    """Writes a linear layer with bias: `layer` of the operator, with the weights of its own of that name."""
    name = f"{code.name}_{layer}"
    columns = tuple(value.width for value in values)
    code.layer(name, f"JoinedLinear({columns}, {width}, bias=True)")
    for place, value in enumerate(values):
        code.take(f"{name}.weights.{place}", f"{own}.weight.{value.source}")
    code.take(f"{name}.bias", f"{own}.bias")


def all_columns(code: OperatorCode) -> list[Value]:
    """The dense inputs, and the fields of each sparse one side by side."""
    flat = [
        code.value(f"{value.name}.transpose(1, 2).flatten(1)", value.width * code.dim, f"fields_{value.source}")
        for value in code.sparse
    ]
    return [*code.dense, *flat]
