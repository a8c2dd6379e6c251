"""What ranks candidates without training them: statistics once, every proxy a function of them."""

from recnas.proxies.brief import BriefTraining
from recnas.proxies.candidate import Candidate, Measurement
from recnas.proxies.instruments import Instruments
from recnas.proxies.registry import PROXIES, Proxy, check_proxy_name, find_proxy
from recnas.proxies.statistics import GradientStatistics, ModuleStatistics, ProxyBatches, collect
from recnas.proxies.tuning import LastLayerTuning

__all__ = [
    "PROXIES",
    "BriefTraining",
    "Candidate",
    "GradientStatistics",
    "Instruments",
    "LastLayerTuning",
    "Measurement",
    "ModuleStatistics",
    "Proxy",
    "ProxyBatches",
    "check_proxy_name",
    "collect",
    "find_proxy",
]
