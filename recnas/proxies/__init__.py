"""What ranks candidates without training them: statistics once, every proxy a function of them.

Of a proxy of your own, `@proxy` says which way it ranks and which weights it uses; `module:function` names it
wherever a proxy's name stands.
"""

from recnas.proxies.declaration import proxy

__all__ = ["proxy"]
