"""docs/compatibility.md, printed from the table.

python -m sidecar.doctor.compatibility > docs/compatibility.md
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from sidecar.doctor.clients import CLIENTS, LANGUAGES, Client, Language

HEAD = """\
# Which SDK honours what

<!-- Made by python -m sidecar.doctor.compatibility from sidecar/doctor/clients.py; a test compares. -->

An application sends its calls through the sidecar when its SDK reads a base URL from a variable that
points there, or when it uses the proxy that intercepts ([interception](interception.md)).
This page says for each SDK which variable that is; `llm-sidecar doctor` says it for what is installed.

A row is *measured* where the client was run with nothing but the variable set, against a server that
recorded what arrived (`python -m tests.doctor.measure_clients`), and *read* where it comes from the
client's source or manual.
Where several variables stand in a row the first one that is set wins.
Whatever code passes as a base URL wins over all of them, in every SDK.

## Base URLs
"""

PROXIES = """\

## Proxy and trust

For `capture: proxy`.
"Proxy" says whether the client follows `HTTPS_PROXY`, "trust" which variable makes it accept the
sidecar's certificates.
"""

TRAPS = """\

## Traps

- **Write `127.0.0.1`, not `localhost`**: some resolvers answer with IPv6 first.
- **`HTTP_PROXY` takes loopback along.** Every Python client sends `http://127.0.0.1:4000` to `HTTP_PROXY`
  unless `NO_PROXY` names `127.0.0.1`; not all of them understand `127.0.0.0/8`.
- **The legacy variable wins** in LangChain (`OPENAI_API_BASE`, `ANTHROPIC_API_URL`) and in litellm's
  Anthropic calls (`ANTHROPIC_API_BASE`), while the vendors' own SDKs ignore it.
  Set all aliases to the same place; the injector does.
- **llama-index reads `OPENAI_API_BASE` alone**: `OPENAI_BASE_URL` has no effect on it.
- **`@ai-sdk/google` and `mistralai` read nothing**: code has to name the base URL.
- **Anthropic's base URL has no `/v1`**, OpenAI's has: a doubled `/v1/v1` is not found.
  `@ai-sdk/anthropic` adds none, which the sidecar understands.
- **langchain-openai drops token usage on streams** as soon as a base URL variable is set: pass
  `stream_usage=True`.
- **Node reads `HTTPS_PROXY` from 22.21 and 24 on**, and only with `NODE_USE_ENV_PROXY=1`.
  Older ones read no proxy variable (measured: Node 20).
- **A JVM reads neither proxy nor trust variables**: `JAVA_TOOL_OPTIONS` with `-Dhttps.proxyHost`,
  `-Dhttps.proxyPort`, `-Djavax.net.ssl.trustStore`.
- **Trust variables replace the bundle**, except `NODE_EXTRA_CA_CERTS`, which adds to it: name the
  combined bundle that the sidecar writes.
- **`AWS_ENDPOINT_URL` moves all of AWS**, S3 too.
  Signed requests pass as they are: their signature covers the host.
- **aiohttp clients follow no proxy variable** unless they are made with `trust_env=True`.
"""

_PROXY = {
    "yes": "yes",
    "node": "Node 22.21 or 24 and later, with `NODE_USE_ENV_PROXY=1`",
    "jvm": "JVM options",
}


def page() -> str:
    return "".join([HEAD, *_bases(), PROXIES, *_proxies(), TRAPS])


def _bases() -> Iterator[str]:
    for language in LANGUAGES:
        yield f"\n### {LANGUAGES[language]}\n\n"
        yield "| SDK | Version | Variable | Value: `http://127.0.0.1:4000` and | Arrives as | Source |\n"
        yield "|---|---|---|---|---|---|\n"
        rows = [row for row in CLIENTS if row.language == language]
        yield from (_base(row) for row in rows)
        notes = [row for row in rows if row.note]
        if notes:
            yield "\n"
        yield from (f"- `{row.name}` ({row.provider}): {row.note}\n" for row in notes)


def _base(row: Client) -> str:
    variables = ", then ".join(f"`{name}`" for name in row.variables) or "none"
    value = f"`/{row.base}`" if row.variables else "-"
    return f"| `{row.name}` | {row.version or '-'} | {variables} | {value} | `{row.path}` | {row.source} |\n"


def _proxies() -> Iterator[str]:
    yield "\n| Language | SDKs | Proxy | Trust |\n|---|---|---|---|\n"
    groups: dict[tuple[Language, str, str], list[str]] = {}
    for row in CLIENTS:
        names = groups.setdefault((row.language, row.proxy, row.trust), [])
        names += [f"`{row.name}`"] if f"`{row.name}`" not in names else []
    for (language, proxy, trust), names in groups.items():
        shown = f"`{trust}`" if trust else "trust store"
        yield f"| {LANGUAGES[language]} | {', '.join(names)} | {_PROXY[proxy]} | {shown} |\n"


if __name__ == "__main__":
    sys.stdout.write(page())
