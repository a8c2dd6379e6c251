"""What the passes of candidates are computed in whose gradients are looked at."""

from __future__ import annotations

PRECISIONS = ("fp32", "bf16")


def multiplies_bfloat16() -> bool:
    """Whether this processor multiplies matrices of bfloat16 faster than those of single precision."""
    import torch

    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16"))
