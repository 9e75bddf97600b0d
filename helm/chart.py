"""The values of the application chart and of the library, in the order in which a person reads them."""

from __future__ import annotations

from typing import Any, Final

from helm import profile
from helm.rows import (
    AUTO,
    BOOL,
    CIDRS,
    DNS,
    DURATION,
    ENV,
    FREE,
    FREE_LIST,
    NAME,
    NAMES,
    PORT,
    RESOURCES,
    SECURITY,
    SELECTOR,
    STRINGS,
    TEXT,
    Row,
    Schema,
    Section,
    Value,
    closed,
    mapping,
    one_of,
    schema_of,
    whole,
)

SERIES_INTERVAL: Final = 30

_SWITCH = "auto: where the cluster has the API."
_PROFILES: Final[Schema] = mapping(schema_of(profile.ROWS), f"^{DNS}$")

_IMAGE = Section(
    "image",
    "The image of the injector, and of every sidecar that names none.",
    (
        Value("registry", "ghcr.io", TEXT, "Where it lies."),
        Value("repository", "llm-sidecar/llm-sidecar", {"type": "string", "minLength": 1}, "Its name there."),
        Value("tag", "", {"type": "string", "not": {"const": "latest"}}, "Empty: the chart's appVersion."),
        Value(
            "digest",
            "",
            {"type": "string", "pattern": "^(sha256:[0-9a-f]{64})?$"},
            "Preferred: what was tested is what runs. Wins over the tag.",
        ),
        Value("pullPolicy", "IfNotPresent", profile.PULL, "When the kubelet pulls it."),
    ),
)

_NETWORK = Section(
    "networkPolicy",
    "Who may talk to the injector.",
    (
        Value("enabled", False, BOOL, "Make one."),
        Value(
            "apiServerCIDRs",
            [],
            CIDRS,
            "Where the API server's calls come from, and where the injector reaches it. Empty: anywhere, "
            "since an API server cannot be selected by label.",
        ),
        Value(
            "apiServerPorts",
            [443, 6443],
            {"type": "array", "items": whole(1, 65535)},
            "Its ports, for egress.",
        ),
        Value(
            "metricsFrom",
            [],
            FREE_LIST,
            "Peers that may scrape, as in a NetworkPolicy. Empty: every pod of the cluster.",
        ),
    ),
)

_INJECTOR = Section(
    "injector",
    "The webhook that puts sidecars into pods.",
    (
        Value("enabled", True, BOOL, "Off: only monitoring, for charts that embed the library."),
        Value("replicas", 2, whole(0, 20), "Two, so that a node may go."),
        Value("port", 8443, PORT, "HTTPS, for the API server."),
        Value("metricsPort", 9901, PORT, "Health and metrics."),
        Value(
            "failurePolicy",
            "Ignore",
            one_of("Ignore", "Fail"),
            "When the injector cannot be asked. Ignore: the pod starts without sidecar and calls its "
            "providers itself. Fail: it does not start.",
        ),
        Value(
            "failMode",
            "open",
            one_of("open", "closed"),
            "When the injector was asked and cannot inject. open: the pod starts as it is, with a warning.",
        ),
        Value("timeoutSeconds", 5, whole(1, 30), "How long the API server waits for it."),
        Value(
            "reinvocationPolicy",
            "IfNeeded",
            one_of("IfNeeded", "Never"),
            "IfNeeded: containers that later webhooks add get the variables too.",
        ),
        Value(
            "excludedNamespaces",
            ["kube-system", "kube-node-lease"],
            NAMES,
            "Never injected, whatever their labels say.",
        ),
        Value("namespaceSelector", {}, SELECTOR, "What a namespace must fulfil besides."),
        Value("objectSelector", {}, SELECTOR, "What a pod's labels must fulfil besides."),
        Value(
            "matchConditions",
            [],
            {
                "type": "array",
                "maxItems": 63,
                "items": closed({"name": TEXT, "expression": TEXT}, "name", "expression"),
            },
            "CEL conditions besides; left out below Kubernetes 1.28.",
        ),
        Value(
            "watchPods",
            True,
            BOOL,
            "May list pods and namespaces of the cluster, to count labelled pods that were not injected.",
        ),
        Value(
            "resources",
            {"requests": {"cpu": "50m", "memory": "96Mi"}, "limits": {"memory": "256Mi"}},
            RESOURCES,
            "Of each replica.",
        ),
        Value("securityContext", profile.HARDENED, SECURITY, "Passes Pod Security `restricted`."),
        Value("extraArgs", [], NAMES, "More arguments."),
        Value("extraEnv", [], ENV, "More variables."),
        Value("podLabels", {}, STRINGS, "More labels of its pods."),
        Value("podAnnotations", {}, STRINGS, "More annotations of its pods."),
        Value("nodeSelector", {}, STRINGS, "Where it runs."),
        Value("tolerations", [], FREE_LIST, "Where it may run."),
        Value("affinity", {}, FREE, "Where it should run."),
        Value(
            "topologySpreadConstraints",
            [],
            FREE_LIST,
            "Empty: spread over nodes where that can be done.",
        ),
        Value(
            "priorityClassName",
            "",
            TEXT,
            "`system-cluster-critical` where applications must not start without it.",
        ),
        Value("terminationGracePeriodSeconds", 30, whole(5, 600), "For reviews in flight."),
        Section(
            "serviceAccount",
            "Who it is to the API server.",
            (
                Value("create", True, BOOL, "Make one."),
                Value("name", "", NAME, "Empty: named like the injector."),
                Value("annotations", {}, STRINGS, "Its annotations."),
            ),
        ),
        Section(
            "podDisruptionBudget",
            "Only with two replicas or more.",
            (
                Value("enabled", True, BOOL, "Make one."),
                Value("minAvailable", 1, whole(1, 20), "That many stay."),
            ),
        ),
        _NETWORK,
    ),
)

_CERTS = Section(
    "certs",
    "The certificate of the webhook.",
    (
        Value(
            "mode",
            "self",
            one_of("self", "certManager", "provided"),
            "self: the injector makes and renews its own, and writes the CA into its webhook configuration. "
            "certManager: cert-manager does. provided: you do.",
        ),
        Value("secretName", "", NAME, "Where it lies. Empty: FULLNAME-injector-certs. Needed with provided."),
        Value(
            "caBundle",
            "",
            {"type": "string", "pattern": "^[A-Za-z0-9+/=]*$"},
            "With provided: the CA in PEM, in base64. Empty: something else writes it.",
        ),
        Section(
            "certManager",
            "With certManager.",
            (
                Value(
                    "issuerRef",
                    {"name": "", "kind": "Issuer", "group": "cert-manager.io"},
                    closed({"name": TEXT, "kind": TEXT, "group": TEXT}),
                    "An issuer of yours. Empty name: a CA is made for this release alone.",
                ),
                Value("duration", "2160h", DURATION, "How long the certificate is good."),
                Value("renewBefore", "720h", DURATION, "How long before its end it is renewed."),
            ),
        ),
    ),
)


def _monitor(name: str, text: str, *more: Row) -> Section:
    return Section(
        name,
        text,
        (
            Value("enabled", "auto", AUTO, _SWITCH),
            Value("interval", "", DURATION, "Empty: Prometheus' own."),
            Value("scrapeTimeout", "", DURATION, "Empty: Prometheus' own."),
            *more,
        ),
    )


_MONITORING = Section(
    "monitoring",
    "What Prometheus and Grafana find.",
    (
        Value(
            "labels",
            {},
            STRINGS,
            "On monitors and rules. kube-prometheus-stack takes those with its own, `release: NAME`.",
        ),
        _monitor(
            "podMonitor",
            "Scrapes the sidecars of all namespaces.",
            Value(
                "appLabels",
                ["app.kubernetes.io/name", "app"],
                NAMES,
                "Labels of a pod that name its application, best first; without them it is the pod's owner.",
            ),
            Value("teamLabels", ["team"], NAMES, "Labels of a pod that name its team, best first."),
            Value("sampleLimit", 0, whole(0, 1_000_000), "A scrape with more samples fails. 0: no limit."),
            Value("relabelings", [], FREE_LIST, "More of them."),
            Value("metricRelabelings", [], FREE_LIST, "What happens to samples."),
        ),
        _monitor("serviceMonitor", "Scrapes the injector."),
        Section(
            "prometheusRule",
            "Recording rules and alerts.",
            (
                Value("enabled", "auto", AUTO, _SWITCH),
                Value(
                    "rules",
                    "",
                    TEXT,
                    "A rule file instead of the shipped one: `python -m alerts --set ... --out DIR` makes "
                    "one with other thresholds; give it with --set-file.",
                ),
            ),
        ),
        Section(
            "dashboards",
            "A ConfigMap per board, for Grafana's sidecar container.",
            (
                Value("enabled", True, BOOL, "Make them; without Grafana they do nothing."),
                Value("namespace", "", NAME, "Empty: the release's."),
                Value(
                    "label",
                    "grafana_dashboard",
                    {"type": "string", "minLength": 1},
                    "What Grafana looks for.",
                ),
                Value("labelValue", "1", TEXT, "And its value."),
                Value("folderAnnotation", "grafana_folder", TEXT, "The annotation that names the folder."),
                Value("folder", "LLM sidecar", TEXT, "The folder."),
            ),
        ),
    ),
)

APPLICATION: Final[tuple[Row, ...]] = (
    Section(
        "global",
        "Shared with the charts around this one.",
        (
            Value("imageRegistry", "", TEXT, "Wins over image.registry."),
            Value(
                "imagePullSecrets",
                [],
                {"type": "array", "items": {"anyOf": [{"type": "string"}, closed({"name": TEXT}, "name")]}},
                "For the injector. Application pods need their own where the registry asks for one.",
            ),
        ),
    ),
    _IMAGE,
    Value("nameOverride", "", NAME, "Instead of the chart's name."),
    Value("fullnameOverride", "", {**NAME, "maxLength": 40}, "Instead of RELEASE-llm-sidecar."),
    Value("commonLabels", {}, STRINGS, "On every object."),
    Value("commonAnnotations", {}, STRINGS, "On every object."),
    Value(
        "openshift",
        "auto",
        AUTO,
        "Whether users are the platform's to choose. auto: where SecurityContextConstraints are served.",
    ),
    Section(
        "fleet",
        "Only for the estimate that the notes print.",
        (Value("pods", 50, whole(0, 1_000_000), "How many pods will have a sidecar."),),
    ),
    Section("sidecar", "The sidecar that a pod gets: the profile `default`.", profile.ROWS),
    Value(
        "profiles",
        {},
        _PROFILES,
        "More profiles by name; each changes what it names of `sidecar`. A pod picks one with the annotation "
        "llm-sidecar.dev/profile.",
    ),
    _INJECTOR,
    _CERTS,
    _MONITORING,
    Section(
        "tests", "`helm test`.", (Value("enabled", True, BOOL, "A pod that proves injection end to end."),)
    ),
    Value(
        "extraObjects",
        [],
        {"type": "array", "items": {"type": ["object", "string"]}},
        "Objects of your own; texts are templates.",
    ),
)

LIBRARY: Final[tuple[Row, ...]] = (
    *profile.ROWS,
    Section(
        "owner",
        "What the pod belongs to, for traces.",
        (
            Value(
                "kind",
                "",
                one_of("", "deployment", "statefulset", "daemonset", "job", "cronjob", "replicaset"),
                "Its kind.",
            ),
            Value("name", "", TEXT, "Its name."),
        ),
    ),
    Value(
        "gracePeriodSeconds",
        30,
        whole(1, 86_400),
        "What `llm-sidecar-lib.grace` gives for terminationGracePeriodSeconds, and what the sidecar is told.",
    ),
    Value(
        "upstreams",
        {},
        mapping({"type": "string", "pattern": "^https?://"}, "^[a-z0-9][a-z0-9-]*$"),
        "Where a provider is reached instead of its public address: a private gateway.",
    ),
)


def conditions() -> list[dict[str, Any]]:
    """What one value demands of another."""
    provided = {
        "properties": {"certs": {"properties": {"mode": {"const": "provided"}}, "required": ["mode"]}}
    }
    named = {"properties": {"certs": {"properties": {"secretName": {"type": "string", "minLength": 1}}}}}
    return [{"if": {**provided, "required": ["certs"]}, "then": named}]
