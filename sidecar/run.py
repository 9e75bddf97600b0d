"""`llm-sidecar run`: a loop, an App on it, and lines on stderr that say where it listens."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace
from pathlib import Path

from sidecar import config
from sidecar.app import App
from sidecar.settings import Settings


def run(path: Path | None, *, port: int | None, admin_port: int | None) -> int:
    """Serve until told to stop. Raises ConfigError, or OSError if a port is taken."""
    settings = _with_ports(config.load(path), port, admin_port)

    async def main() -> None:
        try:
            app = App(settings, path=path, write=_log)
        except ValueError as error:  # a file that it names, of certificates, is not what it should be
            name = "" if path is None else path.name
            raise config.ConfigError([config.Problem("", str(error))], name) from None
        await app.run(lambda addresses: _announce(app, addresses))

    try:
        import uvloop
    except ImportError:  # no wheel for this platform: slower, not different
        asyncio.run(main())
    else:
        uvloop.run(main())
    return 0


def _with_ports(settings: Settings, port: int | None, admin_port: int | None) -> Settings:
    listen = settings.listen if port is None else replace(settings.listen, port=port)
    admin = settings.admin if admin_port is None else replace(settings.admin, port=admin_port)
    return replace(settings, listen=listen, admin=admin)


def _announce(app: App, addresses: list[tuple[str, int]]) -> None:
    where = ", ".join(f"http://{f'[{host}]' if ':' in host else host}:{port}" for host, port in addresses)
    admin = ", ".join(
        f"http://{f'[{host}]' if ':' in host else host}:{port}" for host, port in app.admin.addresses
    )
    sys.stderr.write(f"llm-sidecar listens on {where}; admin on {admin}\n")
    sys.stderr.flush()


def _log(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
