"""Asking the sidecar's two ports, and trying the way to providers: a name, a connection, a handshake.

Nothing is asked of a provider: no request leaves, so no key can. The rules are the sidecar's own
(addresses that a provider may have, TLS with verification, proxies from the configuration alone), but
what is proven is the way out of where this command runs. In a pod all containers share it.
"""

from __future__ import annotations

import http.client
import json
import re
import socket
import ssl
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sidecar.doctor.values import Health, Reached
from sidecar.model import Provider

LIMIT = 5.0  # seconds for each step
LARGEST = 4 * 1024 * 1024
_BUILD = re.compile(rb'^llm_sidecar_build_info\{[^}]*version="([^"]+)"', re.MULTILINE)


# ---- the sidecar ----------------------------------------------------------------------------------


def health(port: int, admin_port: int, capture_port: int | None) -> tuple[Health, frozenset[str]]:
    """And the providers that had calls lately. `capture_port` None: interception is off."""
    data = _data(port)
    capture = None if capture_port is None else _listens(capture_port)
    answer = _get(admin_port, "/startupz")
    if answer is None or answer[0] not in {200, 503}:
        return Health(
            data=data, capture=capture, why="" if answer is None else f"status {answer[0]}"
        ), frozenset()
    ready = _get(admin_port, "/readyz") or (0, b"")
    status = _json((_get(admin_port, "/status") or (0, b""))[1])
    build = _BUILD.search((_get(admin_port, "/metrics") or (0, b""))[1])
    in_flight = status.get("in_flight")
    seen = Health(
        data=data,
        capture=capture,
        started=answer[0] == 200,
        ready=ready[0] == 200,
        why=str(_json(ready[1]).get("reason", "")),
        version=build[1].decode("utf-8", "replace") if build else "",
        bypass=status.get("bypass") is True,
        in_flight=in_flight if isinstance(in_flight, int) else 0,
    )
    providers = status.get("providers")
    return seen, frozenset(providers if isinstance(providers, dict) else ())


def _data(port: int) -> bool | None:
    answer = _get(port, "/")
    return None if answer is None else "llm-sidecar" in _json(answer[1])


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), LIMIT).close()
    except OSError:
        return False
    return True


def _get(port: int, path: str) -> tuple[int, bytes] | None:
    """None where nobody listens; status 0 where what answers is no HTTP."""
    for host in ("127.0.0.1", "::1"):
        connection = http.client.HTTPConnection(host, port, timeout=LIMIT)
        try:
            connection.request("GET", path, headers={"Accept": "*/*"})
            answer = connection.getresponse()
            return answer.status, answer.read(LARGEST)
        except http.client.HTTPException:
            return 0, b""
        except OSError as error:
            if isinstance(error, TimeoutError):
                return 0, b""
            continue
        finally:
            connection.close()
    return None


def _json(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


# ---- the providers --------------------------------------------------------------------------------


def providers(rows: Sequence[Provider]) -> list[Reached]:
    if not rows:
        return []
    with ThreadPoolExecutor(max_workers=min(8, len(rows))) as threads:
        return list(threads.map(reach, rows))


def reach(provider: Provider) -> Reached:
    host = provider.host.strip("[]")
    shown = provider.host if provider.port in {80, 443} else f"{provider.host}:{provider.port}"
    try:
        sock = _through(provider.proxy, host, provider.port) if provider.proxy else _direct(host, provider)
    except _Ended as ended:
        return Reached(provider.name, shown, ended.step, ended.trouble)
    with sock:
        if provider.scheme != "https":
            return Reached(provider.name, shown, "", "reached, without TLS")
        step, trouble = _handshake(sock, host, provider.ca_file)
        return Reached(provider.name, shown, step, trouble)


class _Ended(Exception):
    def __init__(self, step: str, trouble: str) -> None:
        super().__init__(trouble)
        self.step = step
        self.trouble = trouble


def _direct(host: str, provider: Provider) -> socket.socket:
    from sidecar.upstream.addresses import may_connect, system_lookup

    try:
        found = system_lookup(host)
    except OSError as error:
        raise _Ended("dns", _why(error)) from None
    addresses = [address for address in found if may_connect(address, private=provider.private)]
    if not addresses:
        raise _Ended("address", "has only addresses that a provider may not have")
    trouble = ""
    for address in addresses[:3]:
        try:
            return socket.create_connection((address, provider.port), LIMIT)
        except OSError as error:
            trouble = trouble or _why(error)
    raise _Ended("tcp", trouble)


def _through(url: str, host: str, port: int) -> socket.socket:
    from sidecar.upstream.egress import read_proxy

    try:
        proxy = read_proxy(url)
    except ValueError as error:
        raise _Ended("proxy", str(error)) from None
    try:
        sock = socket.create_connection((proxy.host, proxy.port), LIMIT)
    except OSError as error:
        raise _Ended("proxy", _why(error)) from None
    authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    request = f"CONNECT {authority} HTTP/1.1\r\nhost: {authority}\r\n".encode()
    if proxy.credential:
        request += b"proxy-authorization: " + proxy.credential + b"\r\n"
    try:
        sock.sendall(request + b"\r\n")
        answer = b""
        while b"\r\n\r\n" not in answer and len(answer) < 16384 and (data := sock.recv(4096)):
            answer += data
    except OSError as error:
        sock.close()
        raise _Ended("proxy", _why(error)) from None
    status = answer.partition(b"\r\n")[0].split(b" ")[1:2]
    if status != [b"200"]:
        sock.close()
        said = status[0].decode("ascii", "replace") if status else "nothing that is HTTP"
        raise _Ended("proxy", f"it answered {said}")
    return sock


def _handshake(sock: socket.socket, host: str, ca_file: str | None) -> tuple[str, str]:
    from sidecar.upstream.egress import tls_context

    try:
        context = tls_context(ca_file)
    except (OSError, ssl.SSLError, ValueError) as error:
        return "file", _why(error) if isinstance(error, OSError) else str(error)
    try:
        with context.wrap_socket(sock, server_hostname=host.rstrip(".")) as wrapped:
            version = wrapped.version()
    except ssl.SSLCertVerificationError as error:
        return "tls", error.verify_message
    except OSError as error:
        return "tls", _why(error)
    return "", f"reached, certificate verified ({version})"


def _why(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {LIMIT:.0f} s"
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.replace("_", " ").lower()
    return error.strerror or type(error).__name__
