"""A Ray cluster: whether Ray is there, and how this process becomes one of a cluster's."""

from __future__ import annotations

import importlib.util
import logging
import os
import socket
from typing import Any

from recnas.execution.addresses import AUTO, LOCAL
from recnas.util.cores import available_cores
from recnas.util.errors import InputError, first_line

REACHED_WITHIN = 5.0
"""Seconds within which a cluster answers."""
STORE_BYTES = 256 << 20
"""Ray's shared memory on this machine: architectures and figures go through it, and nothing large."""


def check_ray() -> None:
    """Checks beforehand that Ray is there.

    Raises:
        InputError: Ray is not installed, or what asks whether a cluster is there.
    """
    for package, module in (("ray", "ray"), ("grpcio", "grpc")):
        if importlib.util.find_spec(module) is None:
            raise InputError(f"--ray needs the package {package}; pip install 'recnas[ray]' brings it")


def connect(address: str, workers: int | None) -> bool:
    """Connects this process to a cluster, unless it is connected to one.

    Args:
        address: `local`, `auto` for the cluster that this machine belongs to, or HOST:PORT of its head.
        workers: Workers that a local one has room for; None for one a core.

    Returns:
        Whether it was not connected before.

    Raises:
        InputError: Ray is not installed, or the cluster cannot be reached.
    """
    check_ray()
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Ray prints, to standard output, that a worker died; what is done about it is said here.
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", "worker died")
    import ray

    logging.getLogger("ray").setLevel(logging.ERROR)
    if ray.is_initialized():
        return False
    options: dict[str, Any] = {"address": address, "log_to_driver": False, "configure_logging": False}
    if address == LOCAL:
        cores = workers or available_cores()
        options |= {"num_cpus": cores, "include_dashboard": False, "object_store_memory": STORE_BYTES}
    elif address != AUTO:
        _reach(address)
    try:
        ray.init(**options)
    except (ConnectionError, RuntimeError, ValueError, OSError, ray.exceptions.RayError) as error:
        ray.shutdown()
        raise InputError(f"--ray {address}: {first_line(error)}") from None
    return True


def _reach(address: str) -> None:
    """Asks whether a cluster's head is there: Ray itself tries for minutes.

    Raises:
        InputError: Nobody answers, or another program does.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise InputError(f"--ray {address}: give local, auto or the HOST:PORT of a cluster's head")
    try:
        socket.create_connection((host.strip("[]"), int(port)), REACHED_WITHIN).close()
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"--ray {address}: no cluster can be reached there ({reason})") from None
    if os.environ.get("RAY_USE_TLS", "0").lower() in ("1", "true"):
        # Only Ray knows the certificates.
        return
    import grpc

    # gRPC's health checking protocol, which a head speaks. Like Ray, this goes past a proxy.
    with grpc.insecure_channel(address, [("grpc.enable_http_proxy", 0)]) as channel:
        try:
            channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=REACHED_WITHIN)
        except grpc.RpcError:
            raise InputError(
                f"--ray {address}: what answers there is not the head of a Ray cluster; `ray start --head` says its "
                "address, with port 6379 unless told otherwise"
            ) from None
