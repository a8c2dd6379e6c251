"""Addresses of Ray clusters; no torch."""

LOCAL = "local"
"""A cluster on this machine, started and ended with the work."""
AUTO = "auto"
"""The cluster that this machine belongs to."""
OWN_CLUSTERS = (LOCAL, AUTO)
"""Those that can run nothing but what this machine's users start."""
