"""What a sidecar is like: rows of `sidecar` and `profiles` in the chart, of `llmSidecar` in the library."""

from __future__ import annotations

from typing import Final

from helm.rows import (
    AUTO,
    BOOL,
    ENV,
    NAME,
    PORT,
    RESOURCES,
    SECURITY,
    TEXT,
    Row,
    Section,
    Value,
    closed,
    mapping,
    one_of,
    whole,
)
from sidecar.injector.profile import (
    CAPTURE,
    LOG_LEVELS,
    PROTOCOLS,
    PULL_POLICIES,
    VARIABLES,
    Profile,
)
from sidecar.injector.profile import (
    RESOURCES as AMOUNTS,
)
from sidecar.injector.profile import (
    SECURITY as CONTEXT,
)

HARDENED: Final = dict(CONTEXT)
DEFAULT: Final = Profile(image="")

PULL: Final = one_of(*PULL_POLICIES)
VARIABLE: Final = r"^[A-Za-z_][A-Za-z0-9_]*$"
PATH: Final = {"type": ["string", "null"], "pattern": r"^[a-z0-9][a-z0-9_.-]*(/[A-Za-z0-9._@-]+)*$"}

ROWS: Final[tuple[Row, ...]] = (
    Value("image", "", TEXT, "Image of the sidecar. Empty: the image of this chart."),
    Value("imagePullPolicy", DEFAULT.image_pull_policy, PULL, "When the kubelet pulls it."),
    Value("port", DEFAULT.port, PORT, "Where the application's SDKs reach the sidecar, on loopback."),
    Value("adminPort", DEFAULT.admin_port, PORT, "Health and /metrics, on the pod IP."),
    Value(
        "capturePort", DEFAULT.capture_port, PORT, "Where the proxy of `capture: proxy` listens, on loopback."
    ),
    Value(
        "native",
        DEFAULT.native,
        AUTO,
        "A native sidecar (an init container that keeps running). auto: on Kubernetes 1.29 and later, "
        "a plain container below.",
    ),
    Value(
        "capture",
        DEFAULT.capture,
        one_of(*CAPTURE),
        "How calls get to the sidecar. env: base-URL variables. proxy: HTTPS_PROXY and a CA per pod besides. "
        "none: you point your clients yourself.",
    ),
    Value(
        "readiness",
        DEFAULT.readiness,
        BOOL,
        "Whether the pod is unready while the sidecar is. An outage of a provider is none of the sidecar.",
    ),
    Value(
        "startupFailureThreshold",
        DEFAULT.startup_failure_threshold,
        whole(1, 3600),
        "Seconds the sidecar may take to start before the kubelet restarts it.",
    ),
    Value(
        "drainTimeout",
        DEFAULT.drain_timeout,
        whole(1, 86_400),
        "Seconds for calls in flight after SIGTERM; at most what the pod's grace period leaves.",
    ),
    Value("logLevel", DEFAULT.log_level, one_of(*LOG_LEVELS), "What the sidecar logs."),
    Value(
        "resources",
        dict(AMOUNTS),
        RESOURCES,
        "No CPU limit: throttling is latency.",
    ),
    Value(
        "securityContext",
        HARDENED,
        SECURITY,
        "Passes Pod Security `restricted`. `runAsUser: null` leaves the user to the platform.",
    ),
    Value(
        "env",
        dict(sorted(VARIABLES.items())),
        mapping(PATH, VARIABLE),
        "Variables put into application containers, each with its path at the sidecar. Yours are added to "
        "these; null takes one away.",
    ),
    Value("extraEnv", [], ENV, "Variables of the sidecar container itself."),
    Section(
        "otlp",
        "Where traces go.",
        (
            Value(
                "endpoint",
                "",
                TEXT,
                "A collector, `http://otel-collector.monitoring:4318`. Empty: no traces.",
            ),
            Value("protocol", DEFAULT.otlp.protocol, one_of(*PROTOCOLS), "How to speak to it."),
            Value(
                "headersSecret",
                {"name": "", "key": ""},
                closed({"name": TEXT, "key": TEXT}),
                "A Secret of the application's namespace whose key holds `name=value` headers.",
            ),
        ),
    ),
    Value(
        "overridesConfigMap",
        DEFAULT.overrides_config_map,
        NAME,
        "The operator's lever in an incident: an optional ConfigMap of the application's namespace, read "
        "again whenever it changes.",
    ),
    Value(
        "configMap",
        "",
        NAME,
        "A ConfigMap of the application's namespace with the key `sidecar.yaml`, instead of `config`: "
        "its changes reach running pods.",
    ),
    Value(
        "secret",
        "",
        NAME,
        "A Secret of the application's namespace with keys of providers, mounted at /etc/llm-sidecar/keys in "
        "the sidecar alone.",
    ),
    Value(
        "config",
        None,  # Helm complains of a map in the place of a text, and of the reverse
        {"type": ["string", "object", "null"]},
        "The sidecar's configuration, as YAML or as text. Empty: every well-known provider works by its "
        "prefix, without fallback.",
    ),
)
