"""The front door. Read `listener` (the life of a call) first, then `reception` and `client_sink`."""

from sidecar.listener.listener import Generation, Listener, PortInUse

__all__ = ["Generation", "Listener", "PortInUse"]
