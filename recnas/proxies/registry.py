"""Every proxy by its name. One of your own needs no registration: `module:function` names it wherever a name stands."""

from __future__ import annotations

from importlib import import_module

from recnas.proxies.declaration import Declaration, Proxy
from recnas.proxies.inputs import ProxyInputs
from recnas.util.errors import InputError
from recnas.util.user_code import import_user_code, is_user_code

PROXIES: dict[str, Proxy[ProxyInputs]] = {
    name: item
    for module in ("gradients", "passes", "rows", "trained", "counts")
    for name, item in vars(import_module(f"{__package__}.{module}")).items()
    if isinstance(item, Proxy)
}
"""The proxies of these modules, in the order in which a study measures them."""
FORMER_NAMES = {"brief": "short_training", "flops": "macs"}
"""What version 0.1 called proxies, as in its presets."""


def check_proxy_name(name: str) -> None:
    """Checks beforehand what would be refused by `find_proxy`, and imports nothing.

    Raises:
        InputError: It is none of `PROXIES`, nor written as `module:function`.
    """
    if name in FORMER_NAMES:
        raise InputError(f"the proxy {name!r} is called {FORMER_NAMES[name]!r} now")
    if name not in PROXIES and not is_user_code(name):
        raise InputError(
            f"no proxy is named {name!r}; known are {', '.join(PROXIES)}, and module:function for one of your own"
        )


def find_proxy(name: str) -> Proxy[ProxyInputs]:
    """A proxy by its name: one of `PROXIES`, or `module:function`, a function of a `ProxyInputs` in a module of yours.

    The module may be a file in the working directory, as with `python -m`. A function without `@proxy` ranks higher
    values first and uses warm weights, the defaults of `Declaration`.

    Raises:
        InputError: There is none.
    """
    if name in PROXIES:
        return PROXIES[name]
    check_proxy_name(name)
    proxy = import_user_code(name, "proxy")
    if not callable(proxy):
        raise InputError(f"proxy {name}: {name.partition(':')[2]} is not a function")

    def measure(inputs: ProxyInputs) -> float:
        try:
            return float(proxy(inputs))
        except (
            Exception
        ) as error:  # The function is the user's: what it does, and so what goes wrong in it, is anything.
            reason = f"{type(error).__name__}: {error}"
            raise InputError(f"proxy {name}: failed on candidate {inputs.arch.id} ({reason})") from error

    return Proxy(measure, proxy.declaration if isinstance(proxy, Proxy) else Declaration())
