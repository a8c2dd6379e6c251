"""Every proxy by its name. One of your own needs no registration: `module:function` names it wherever a name stands."""

from __future__ import annotations

from collections.abc import Callable

from recnas.nn.model import sizes
from recnas.proxies import gradients, passes, rows, short_training, tuning
from recnas.proxies.inputs import ProxyInputs
from recnas.space import cost
from recnas.util.errors import InputError
from recnas.util.user_code import import_user_code, is_user_code


def parameters(candidate: ProxyInputs) -> float:
    """Dense parameters that reach the logit."""
    return cost.parameters(candidate.arch, *sizes(candidate.schema))


def macs(candidate: ProxyInputs) -> float:
    """Multiply–accumulates a row of all matrix products that reach the logit."""
    return cost.macs(candidate.arch, *sizes(candidate.schema))


Proxy = Callable[[ProxyInputs], float]
"""A figure that is to tell, without training it, how good a candidate is."""

PROXIES: dict[str, Proxy] = {
    function.__name__: function
    for function in (
        # First: alone it needs no gradients, and a study is to tell what it takes alone.
        gradients.loss,
        gradients.zico,
        gradients.zico_mean,
        gradients.fr,
        gradients.mean_abs_gradient,
        gradients.gradient_std,
        gradients.l2_norm,
        gradients.plain,
        gradients.grad_norm,
        gradients.snip,
        passes.grasp,
        passes.fisher,
        passes.synflow,
        passes.zen,
        rows.jacov,
        rows.naswot,
        rows.epe_nas,
        tuning.one_shot,
        short_training.short_training,
        parameters,
        macs,
    )
}


def check_proxy_name(name: str) -> None:
    """Looks ahead to `find_proxy`, and imports nothing.

    Raises:
        InputError: It is none of `PROXIES`, nor written as `module:function`.
    """
    if name not in PROXIES and not is_user_code(name):
        raise InputError(
            f"no proxy is named {name!r}; known are {', '.join(PROXIES)}, and module:function for one of your own"
        )


def find_proxy(name: str) -> Proxy:
    """A proxy by its name: one of `PROXIES`, or `module:function`, a function of a `ProxyInputs` in a module of yours.

    The module may be a file in the working directory, as with `python -m`.

    Raises:
        InputError: There is none.
    """
    if name in PROXIES:
        return PROXIES[name]
    check_proxy_name(name)
    proxy = import_user_code(name, "proxy")
    if not callable(proxy):
        raise InputError(f"proxy {name}: {name.partition(':')[2]} is not a function")

    def measure(candidate: ProxyInputs) -> float:
        try:
            return float(proxy(candidate))
        except Exception as error:  # As above.
            reason = f"{type(error).__name__}: {error}"
            raise InputError(f"proxy {name}: failed on candidate {candidate.arch.id} ({reason})") from error

    return measure
