"""The sockets the listener accepts on: loopback unless configuration says otherwise twice (T1)."""

from __future__ import annotations

import errno
import ipaddress
import socket

from sidecar.settings import Listen

BACKLOG = 1024


class PortInUse(OSError):  # reads as what it says
    """The port is taken. The text is one line, for the operator."""


def check_exposure(listen: Listen) -> None:
    for host in listen.hosts:
        local = host == "localhost" or ipaddress.ip_address(host).is_loopback
        if not local and not (listen.allow_remote and listen.client_token):
            raise ValueError(
                f"listen.hosts: {host} is reachable from other machines; "
                "that needs listen.allow_remote: true and a listen.client_token"
            )


def bind(listen: Listen, setting: str = "listen.port") -> list[socket.socket]:
    """`setting` names the port's place in the configuration, for people.

    One socket per host, all on one port. An IPv6 loopback that does not exist is left out.
    """
    for attempt in range(10):
        sockets: list[socket.socket] = []
        port = listen.port
        try:
            for host in dict.fromkeys(listen.hosts):
                one = _bind_one(host, port, setting)
                if one is not None:
                    sockets.append(one)
                    port = one.getsockname()[1]
        except PortInUse:
            for one in sockets:
                one.close()
            if listen.port or attempt == 9:
                raise
            continue  # a port that was free on one host was taken on the other: pick another
        if not sockets:
            raise OSError(errno.EADDRNOTAVAIL, f"none of the addresses {', '.join(listen.hosts)} exists here")
        return sockets
    raise AssertionError("unreachable")


def _bind_one(host: str, port: int, setting: str) -> socket.socket | None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        one = socket.socket(family, socket.SOCK_STREAM)
    except OSError:
        if family is socket.AF_INET6:
            return None
        raise
    try:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family is socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        one.bind((host, port))
        one.listen(BACKLOG)
    except OSError as error:
        one.close()
        if error.errno == errno.EADDRINUSE:
            raise PortInUse(
                f"port {port} on {host} is in use by another program; choose another one with {setting}",
            ) from None
        if family is socket.AF_INET6 and error.errno in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}:
            return None
        if error.errno is None:
            raise
        why = f"cannot listen on {host}, port {port}: {error.strerror}"
        raise OSError(error.errno, why) from None
    one.setblocking(False)
    return one
