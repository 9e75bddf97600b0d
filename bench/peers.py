# ruff: noqa: E501  # Envoy has long names
"""The peers: who is installed here, and how each is configured.

Each stands between the load and the vendor with what the sidecar has too: a second target, repeats
where the first one fails, kept-alive connections. One core, one worker. Its second listener asks
the vendor over TLS, verified.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

DEBIAN = ("/usr/sbin", "/usr/local/sbin")  # not on everybody's PATH


@dataclass(frozen=True, slots=True)
class Ports:
    """Of the vendor; the third one speaks TLS."""

    first: int
    second: int
    secure: int
    ca: Path
    pid: int  # the vendor's


@dataclass(frozen=True, slots=True)
class Peer:
    name: str
    config: str  # with {first}, {second}, {secure}, {ca}, {plain}, {tls} and {home} to be filled in
    file: str
    command: Callable[[str, Path, int], list[str]]  # program, configuration file, port
    ask_version: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)


NGINX = """\
daemon off; master_process off; worker_processes 1; pid {home}/nginx.pid; error_log {home}/error.log error;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path {home}/body; proxy_temp_path {home}/proxy; fastcgi_temp_path {home}/fastcgi;
  uwsgi_temp_path {home}/uwsgi; scgi_temp_path {home}/scgi;
  keepalive_requests 1000000000; keepalive_timeout 75s;
  proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;
  proxy_next_upstream error timeout http_500 http_502 http_503 http_504 http_429 non_idempotent;
  proxy_next_upstream_tries 3;
  upstream vendor {{
    server 127.0.0.1:{first}; server 127.0.0.1:{second} backup;
    keepalive 512; keepalive_requests 1000000000;
  }}
  upstream secure {{ server 127.0.0.1:{secure}; keepalive 512; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{plain} backlog=1024;
    location / {{ proxy_pass http://vendor; }}
  }}
  server {{
    listen 127.0.0.1:{tls} backlog=1024;
    location / {{
      proxy_pass https://secure; proxy_ssl_name localhost;
      proxy_ssl_verify on; proxy_ssl_trusted_certificate {ca};
    }}
  }}
}}
"""

# without http-no-delay each event would be 100 ms late
HAPROXY = """\
global
  nbthread 1
  maxconn 8192
defaults
  mode http
  option http-no-delay
  option redispatch
  retries 2
  retry-on conn-failure empty-response response-timeout 500 502 503 504
  http-reuse always
  timeout connect 3s
  timeout client 600s
  timeout server 600s
frontend plain
  bind 127.0.0.1:{plain}
  default_backend vendor
frontend secure
  bind 127.0.0.1:{tls}
  default_backend secure
backend vendor
  server first 127.0.0.1:{first} check inter 3600s
  server second 127.0.0.1:{second} check inter 3600s backup
backend secure
  server first 127.0.0.1:{secure} ssl verify required ca-file {ca} verifyhost localhost sni str(localhost)
"""

ENVOY = """\
static_resources:
  listeners:
  - &listener
    name: plain
    address: {{socket_address: {{address: 127.0.0.1, port_value: {plain}}}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: plain
          http_filters: &filters
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: {{prefix: "/"}}
                route:
                  cluster: plain
                  timeout: 600s
                  retry_policy: &retry {{retry_on: "5xx,reset,connect-failure,retriable-4xx", num_retries: 2}}
  - name: tls
    address: {{socket_address: {{address: 127.0.0.1, port_value: {tls}}}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: tls
          http_filters: *filters
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: {{prefix: "/"}}
                route: {{cluster: tls, timeout: 600s, retry_policy: *retry}}
  clusters:
  - name: plain
    type: STATIC
    circuit_breakers: &limits
      thresholds: [{{max_connections: 8192, max_pending_requests: 8192, max_requests: 8192, max_retries: 8192}}]
    load_assignment:
      cluster_name: plain
      endpoints:
      - lb_endpoints:
        - endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {first}}}}}}}
      - priority: 1
        lb_endpoints:
        - endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {second}}}}}}}
  - name: tls
    type: STATIC
    circuit_breakers: *limits
    load_assignment:
      cluster_name: tls
      endpoints:
      - lb_endpoints:
        - endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {secure}}}}}}}
    transport_socket:
      name: envoy.transport_sockets.tls
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
        sni: localhost
        common_tls_context:
          validation_context:
            trusted_ca: {{filename: {ca}}}
            match_typed_subject_alt_names: [{{san_type: DNS, matcher: {{exact: localhost}}}}]
"""

PEERS = (
    Peer(
        "nginx",
        NGINX,
        "nginx.conf",
        lambda program, file, _: [program, "-p", str(file.parent), "-c", str(file)],
        ("-v",),
    ),
    Peer(
        "haproxy", HAPROXY, "haproxy.cfg", lambda program, file, _: [program, "-db", "-f", str(file)], ("-v",)
    ),
    Peer(
        "envoy",
        ENVOY,
        "envoy.yaml",
        lambda program, file, _: [
            program,
            "-c",
            str(file),
            "--concurrency",
            "1",
            "-l",
            "error",
            "--disable-hot-restart",
        ],
        ("--version",),
    ),
)


def find(name: str, given: str | None = None) -> str | None:
    """The program of a peer; `given` may be a path of it."""
    if given:
        return shutil.which(given)
    return shutil.which(name) or next(
        (found for place in DEBIAN if (found := shutil.which(f"{place}/{name}"))), None
    )


def version_of(peer: Peer, program: str) -> str:
    """The first number with a dot in what it says of itself."""
    said = subprocess.run([program, *peer.ask_version], capture_output=True, text=True, check=False)
    words = (said.stdout + said.stderr).replace("/", " ").split()
    return next((word for word in words if word[0].isdigit() and "." in word), "unknown")
