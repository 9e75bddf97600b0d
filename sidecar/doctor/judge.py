"""From what was seen to findings. Touches nothing: the same values give the same findings.

A call goes through the sidecar where the first variable that its client reads points at it, or where the
client uses the proxy that intercepts. An SDK whose variable is not set is worth a look and no more, since
code may set the address; one whose variable points elsewhere is broken, and so is a place where SDKs are
installed and none of them is led here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from sidecar.doctor.addresses import Address, bypassed, read, read_proxy
from sidecar.doctor.clients import CLIENTS, Client
from sidecar.doctor.values import Application, Finding, Health, Installed, Level, Reached, Sidecar

NO_PROXY = "127.0.0.1,localhost,::1"
_VERSION = re.compile(r"/?v\d\w*")


def application(app: Application, sidecar: Sidecar) -> list[Finding]:
    rows = [(row, found) for found in app.clients for row in CLIENTS if _speaks(row, found, app)]
    if not rows:
        return [Finding(Level.OK, app.name, "no LLM SDK that the doctor knows is installed here")]
    findings = [_client(row, found, app, sidecar, _several(rows, found)) for row, found in rows]
    led = [row for (row, _), finding in zip(rows, findings, strict=True) if finding.level is Level.OK]
    if not led and not any(finding.level is Level.BROKEN for finding in findings):
        said = "SDKs are installed and none of them is led to the sidecar by a variable"
        do = "set the variables below where the application starts, or label the pod for injection"
        findings.insert(0, Finding(Level.BROKEN, app.name, said, do))
    findings += _usage(rows, app)
    findings += _proxies(app, sidecar, led, [row for row, _ in rows])
    return findings


def _speaks(row: Client, found: Installed, app: Application) -> bool:
    """Whether what is installed makes such calls, as far as can be known."""
    same = (row.language, row.name) == (found.language, found.name)
    return same and (not row.opt_in or bool(set(row.variables) & app.environ.keys()))


def _several(rows: list[tuple[Client, Installed]], found: Installed) -> bool:
    return sum(other == found for _, other in rows) > 1


# ---- one client -----------------------------------------------------------------------------------


def _client(row: Client, found: Installed, app: Application, sidecar: Sidecar, several: bool) -> Finding:
    subject = f"{found.name} {found.version}".strip() + (f" ({row.provider})" if several else "")
    value = f"http://127.0.0.1:{sidecar.port}/{row.base}"
    present = [name for name in row.variables if name in app.environ]
    if not present:
        if intercepted(row, app, sidecar):
            return Finding(Level.OK, subject, "goes through HTTPS_PROXY, which is the sidecar's")
        return Finding(Level.ATTENTION, subject, *_absent(row, app, value))
    first, *later = present
    wrong = misled(row, app.environ[first], sidecar)
    if not wrong:
        return Finding(Level.OK, subject, f"{first} -> {shown(app.environ[first])}")
    said = f"{first} {wrong}"
    for name in later:
        if not misled(row, app.environ[name], sidecar):
            said = f"{first} wins over {name}, and it {wrong}"
            break
    return Finding(Level.BROKEN, subject, said, f"set {first}={value}")


def _absent(row: Client, app: Application, value: str) -> tuple[str, str]:
    if not row.variables:
        return "honours no variable: its calls go straight to the provider", row.note
    others = sorted(
        name
        for other in CLIENTS
        if other.provider == row.provider
        for name in other.variables
        if name in app.environ
    )
    unread = f"; it does not read {others[0]}, which is set" if others else ""
    wanted = row.variables[0]
    return f"{wanted} is not set{unread}: unless code says otherwise its calls go straight to the provider", (
        f"set {wanted}={value}"
    )


def misled(row: Client, value: str, sidecar: Sidecar) -> str:
    """What is wrong with a value, empty where the client's calls arrive and are understood."""
    address = read(value)
    if address is None:
        return "holds no http:// or https:// URL"
    if not address.loopback:
        return f"points at {address.shown()}, not at the sidecar"
    if address.port != sidecar.port:
        return f"points at {address.shown()}; the sidecar is on port {sidecar.port}"
    if address.scheme != "http":
        return "begins with https://; the sidecar speaks plain HTTP on loopback"
    return _astray(row, address, sidecar.providers)


def _astray(row: Client, address: Address, providers: Mapping[str, str]) -> str:
    segment, _, rest = address.path.lstrip("/").partition("/")
    name = segment.partition("@")[0]
    expected = f"expected /{row.base}"
    if not name:
        return f"names no provider in its path; {expected}"
    if providers and name not in providers:
        return f"begins its path with {name!r}, which is no provider of the sidecar; {expected}"
    if providers and providers.get(row.provider, providers[name]) != providers[name]:
        return f"leads to {name!r}, which speaks another API than {row.provider}; {expected}"
    adds_version = _VERSION.match(row.path.removeprefix("/" + row.base)) is not None
    if adds_version and _VERSION.fullmatch(rest):
        return f"ends with /{rest}, which this client adds itself; {expected}"
    return ""


def shown(value: str) -> str:
    address = read(value)
    return "no URL" if address is None else address.shown()


def _usage(rows: list[tuple[Client, Installed]], app: Application) -> Iterator[Finding]:
    if any(row.name == "langchain-openai" for row, _ in rows) and (
        {"OPENAI_BASE_URL", "OPENAI_API_BASE"} & app.environ.keys()
    ):
        said = "stops asking for token usage on streams as soon as a base URL is set"
        yield Finding(Level.ATTENTION, "langchain-openai", said, "pass stream_usage=True to ChatOpenAI")
    if "AWS_ENDPOINT_URL" in app.environ:
        said = "AWS_ENDPOINT_URL moves the calls of every AWS service, S3 too"
        yield Finding(Level.ATTENTION, "boto3", said, "set AWS_ENDPOINT_URL_BEDROCK_RUNTIME instead")


# ---- proxies and trust ----------------------------------------------------------------------------


def variable(environ: Mapping[str, str], name: str) -> str:
    """Lower case wins, as in curl, Python and Node."""
    return environ.get(name.lower()) or environ.get(name, "")


def is_ours(value: str, port: int) -> bool:
    address = read_proxy(value) if value else None
    return address is not None and address.loopback and address.port == port


def intercepted(row: Client, app: Application, sidecar: Sidecar) -> bool:
    if row.proxy == "jvm":
        return f"-Dhttps.proxyPort={sidecar.capture_port}" in app.environ.get("JAVA_TOOL_OPTIONS", "")
    ours = is_ours(variable(app.environ, "HTTPS_PROXY"), sidecar.capture_port)
    return ours and (row.proxy == "yes" or _node_is_told(app))


def _node_is_told(app: Application) -> bool:
    return app.environ.get("NODE_USE_ENV_PROXY") == "1" and node_can(app.node)


def node_can(version: str) -> bool:
    """Whether this Node knows NODE_USE_ENV_PROXY for all it sends; one we do not know is trusted."""
    numbers = [int(part) for part in re.findall(r"\d+", version)[:2]]
    return not numbers or numbers >= [24] or (numbers[0] == 22 and numbers >= [22, 21])


def _proxies(app: Application, sidecar: Sidecar, led: list[Client], rows: list[Client]) -> Iterator[Finding]:
    environ = app.environ
    subject = f"proxy of {app.name}"
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"):
        if name in environ and environ.get(name.lower(), environ[name]) != environ[name]:
            said = f"{name} and {name.lower()} differ; the lower case one wins in most clients"
            yield Finding(Level.ATTENTION, subject, said, "set both to the same value")
    yield from _loopback_proxy(app, subject, led)
    https = variable(environ, "HTTPS_PROXY")
    ours = is_ours(https, sidecar.capture_port)
    if sidecar.capture and not ours:
        there = read_proxy(https) if https else None
        said = "is not set" if not https else f"points at {there.shown() if there else 'no URL'}"
        do = f"set HTTPS_PROXY and https_proxy to http://127.0.0.1:{sidecar.capture_port}"
        yield Finding(Level.ATTENTION, subject, f"the sidecar intercepts, but HTTPS_PROXY {said}", do)
    if ours:
        yield from _interception(app, sidecar, subject, rows)


def _loopback_proxy(app: Application, subject: str, led: list[Client]) -> Iterator[Finding]:
    """Measured: every Python client sends http://127.0.0.1 to HTTP_PROXY unless NO_PROXY names it."""
    name = next((n for n in ("HTTP_PROXY", "ALL_PROXY") if variable(app.environ, n)), "")
    hit = any(
        row.variables and (row.language == "python" or (row.language == "node" and _node_is_told(app)))
        for row in led
    )
    if name and hit and not bypassed("127.0.0.1", variable(app.environ, "NO_PROXY")):
        said = f"{name} is set and NO_PROXY does not name 127.0.0.1: calls to the sidecar go to that proxy"
        yield Finding(Level.BROKEN, subject, said, f"add {NO_PROXY} to NO_PROXY and no_proxy")


def _interception(app: Application, sidecar: Sidecar, subject: str, rows: list[Client]) -> Iterator[Finding]:
    no_proxy = variable(app.environ, "NO_PROXY")
    for host in sorted(sidecar.hosts):
        if entry := bypassed(host, no_proxy):
            said = f"NO_PROXY holds {entry}, so calls to {host} are not intercepted"
            yield Finding(Level.BROKEN, subject, said, "take it out of NO_PROXY")
            break
    if any(row.proxy == "node" for row in rows) and not _node_is_told(app):
        old = not node_can(app.node)
        said = f"Node {app.node} reads no HTTPS_PROXY" if old else "NODE_USE_ENV_PROXY is not 1"
        do = "use Node 22.21, 24 or newer" if old else "set NODE_USE_ENV_PROXY=1"
        yield Finding(Level.ATTENTION, subject, f"{said}: Node's calls are not intercepted", do)
    if any(row.proxy == "jvm" and not intercepted(row, app, sidecar) for row in rows):
        do = f"JAVA_TOOL_OPTIONS: -Dhttps.proxyHost=127.0.0.1 -Dhttps.proxyPort={sidecar.capture_port}"
        yield Finding(Level.ATTENTION, subject, "a JVM reads no HTTPS_PROXY", do)
    for name in sorted({row.trust for row in rows if row.trust and intercepted(row, app, sidecar)}):
        if name not in app.environ:
            said = f"{name} is not set: clients that read it refuse the sidecar's certificates"
            yield Finding(Level.BROKEN, subject, said, f"set {name} to the bundle in the trust folder")
        elif name in app.unreadable:
            said = f"the file of {name} is not there or cannot be read here"
            yield Finding(Level.BROKEN, subject, said, "mount the trust folder, readable, at that path")
        else:
            yield Finding(Level.OK, subject, f"{name} names a file that can be read")


# ---- the sidecar and the providers ----------------------------------------------------------------


def health(seen: Health, sidecar: Sidecar, own: str) -> list[Finding]:
    """`own` is the version of this command."""
    found = [_data(seen, sidecar.port)]
    if seen.capture is not None:
        found.append(_capture(seen.capture, sidecar.capture_port))
    admin = f"admin port {sidecar.admin_port}"
    if seen.started is None:
        said = "no sidecar answers" + (f" ({seen.why})" if seen.why else "")
        return [*found, Finding(Level.BROKEN, admin, said, "is it running? is admin.port another one?")]
    version = f", version {seen.version}" if seen.version else ""
    if not seen.started:
        found.append(
            Finding(Level.ATTENTION, admin, f"answers{version}; still starting", "wait, then ask again")
        )
    elif not seen.ready:
        said = f"answers{version}; not ready: {seen.why or 'no reason given'}"
        found.append(Finding(Level.ATTENTION, admin, said, "draining ends with the pod; new pods take over"))
    else:
        found.append(Finding(Level.OK, admin, f"ready{version}, {seen.in_flight} calls in flight"))
    if seen.bypass:
        said = "bypass is on: calls pass untouched by any policy"
        do = "switch it off when the incident is over: the overrides ConfigMap, or POST /bypass/off"
        found.append(Finding(Level.ATTENTION, "bypass", said, do))
    if seen.version and seen.version != own:
        said = f"the sidecar is {seen.version}, this command {own}"
        found.append(Finding(Level.ATTENTION, "version", said, "facts here may be newer or older than it"))
    return found


def _data(seen: Health, port: int) -> Finding:
    subject = f"data port {port}"
    if seen.data is None:
        do = "start it: llm-sidecar run; in a pod: is the container llm-sidecar there and started?"
        return Finding(Level.BROKEN, subject, "nobody answers on 127.0.0.1", do)
    if not seen.data:
        said = "something answers that is not the sidecar"
        return Finding(Level.BROKEN, subject, said, "name the sidecar's port: --port, LLM_SIDECAR_PORT")
    return Finding(Level.OK, subject, "the sidecar answers")


def _capture(listens: bool, port: int) -> Finding:
    subject = f"capture port {port}"
    if listens:
        return Finding(Level.OK, subject, "interception listens")
    do = "capture.mode is read when the sidecar starts: restart it, and read its log"
    return Finding(Level.BROKEN, subject, "interception is configured and nobody listens", do)


_STEPS = {
    "dns": ("its name does not resolve", "look at the pod's DNS, and at egress rules for port 53"),
    "address": ("", "a provider in your network needs `private: true`"),
    "tcp": ("no connection", "allow egress to it, or name your proxy: providers.NAME.proxy"),
    "proxy": ("the proxy does not connect", "look at providers.NAME.proxy and the proxy's allow list"),
    "tls": ("TLS fails", "a proxy that opens TLS needs its authority: providers.NAME.ca_file"),
    "file": ("its ca_file cannot be used", "look at providers.NAME.ca_file"),
}


def reached(seen: Reached) -> Finding:
    subject = f"provider {seen.provider}"
    if not seen.step:
        return Finding(Level.OK, subject, f"{seen.host}: {seen.trouble or 'reached, certificate verified'}")
    said, do = _STEPS[seen.step]
    text = ": ".join(part for part in (seen.host, said, seen.trouble) if part)
    return Finding(Level.BROKEN, subject, text, do.replace("NAME", seen.provider))


def environment(environ: Mapping[str, str]) -> Iterator[Finding]:
    """The sidecar's own container."""
    if variable(environ, "HTTPS_PROXY") or variable(environ, "ALL_PROXY"):
        said = "HTTPS_PROXY is set for the sidecar, which takes proxies from its configuration alone"
        yield Finding(Level.ATTENTION, "proxy of the sidecar", said, "providers.NAME.proxy")
