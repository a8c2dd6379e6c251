"""SiGeo (Zheng et al. 2024, definition 1) and the terms it is made of. Higher is better for every score here."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from recnas.proxies.statistics import GradientStatistics


def zico(statistics: GradientStatistics) -> float:
    """ZiCo (Li et al. 2023): Σₘ log ‖ μ⁽ᵐ⁾ ⊘ σ⁽ᵐ⁾ ‖₁. A module whose gradient never varies adds nothing."""
    return math.fsum(math.log(ratio) for ratio in statistics.module_ratios if ratio != 0)


def fisher_rao(statistics: GradientStatistics) -> float:
    """The Fisher–Rao norm with the empirical Fisher: ((1/N) Σₙ (θᵀgₙ)²)^½ (Liang et al. 2019)."""
    squares = [projection**2 for projection in statistics.projections]
    return math.sqrt(math.fsum(squares) / len(squares))


def training_loss(statistics: GradientStatistics) -> float:
    """ℓ, the mean loss on the batches; lower is better."""
    return math.fsum(statistics.losses) / len(statistics.losses)


@dataclass(frozen=True)
class ProxyTerms:
    """The three terms of SiGeo."""

    zico: float
    log_fr: float
    loss: float

    @classmethod
    def of(cls, statistics: GradientStatistics) -> ProxyTerms:
        """Computes the terms; a Fisher–Rao norm of zero has the logarithm -inf."""
        norm = fisher_rao(statistics)
        return cls(zico(statistics), math.log(norm) if norm > 0 else -math.inf, training_loss(statistics))

    def to_json(self) -> dict[str, Any]:
        return {"zico": self.zico, "log_fr": self.log_fr, "loss": self.loss}


@dataclass(frozen=True)
class SiGeo:
    """λ₁ · ZiCo + λ₂ · log FR - λ₃ · ℓ.

    With λ₂ = λ₃ = 0 this is ZiCo; with λ₁ = λ₂ = 0 after a full warm-up it is one-shot search.
    """

    lambda_zico: float = 1.0
    lambda_fr: float = 1.0
    lambda_loss: float = 1.0

    @classmethod
    def after_warmup(cls, warmup: float) -> SiGeo:
        """The published weights for CTR spaces: 1, 1, 1; without any warm-up the loss says nothing: 1, 1, 0."""
        return cls(1.0, 1.0, 1.0 if warmup > 0 else 0.0)

    def score(self, terms: ProxyTerms) -> float:
        """The weighted sum; terms of weight 0 are left out. With a term that is not finite it is -inf, the worst."""
        weighted = ((self.lambda_zico, terms.zico), (self.lambda_fr, terms.log_fr), (-self.lambda_loss, terms.loss))
        if any(weight and not math.isfinite(term) for weight, term in weighted):
            return -math.inf
        return math.fsum(weight * term for weight, term in weighted if weight)
