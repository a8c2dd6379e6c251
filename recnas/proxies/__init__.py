"""What ranks candidates without training them: gradient statistics once, every proxy a function of them."""

from recnas.proxies.sigeo import ProxyTerms, SiGeo, fisher_rao, training_loss, zico
from recnas.proxies.statistics import GradientStatistics, ProxyBatches, collect

__all__ = [
    "GradientStatistics",
    "ProxyBatches",
    "ProxyTerms",
    "SiGeo",
    "collect",
    "fisher_rao",
    "training_loss",
    "zico",
]
