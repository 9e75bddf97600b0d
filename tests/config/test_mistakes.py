# ruff: noqa: E501, ISC004  # tables of messages, one row each
"""Every mistake is told with its line, its path, what was expected and the nearest known name."""

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar import config
from sidecar.settings import Route, Settings

KEYS = "keys do not stand in this file; put it in a file or a variable and write `key: {file: PATH}` or `key: {env: NAME}`"
DURATION = "expected a duration such as 15s or 250ms, 1ms to 24h"
NAMES = "is made of a-z, 0-9 and _ . -"
ONE = "routes: [{name: r, match: {provider: openai}, %s}]"

TOP = ", ".join(sorted({one.name for one in fields(Settings)} - {"digest"}))
OF_ROUTES = ", ".join(sorted({one.name for one in fields(Route)} - {"implicit"} | {"class"}))

HOOK = "webhooks: {results: {key: {env: HOOK}, %s}}"

MISTAKES = [
    # shapes
    ("[]", "line 1: expected a mapping of settings, got a list"),
    ("routes: 3", "line 1: routes: expected a list, got 3"),
    ("providers: []", "line 1: providers: expected a mapping of names to providers, got a list"),
    ("routes: [x]", 'line 1: routes[0]: expected a mapping, got "x"'),
    ("listen: x", 'line 1: listen: expected a mapping, got "x"'),
    ("listen: {hosts: localhost}", 'line 1: listen.hosts: expected a list, got "localhost"'),
    (ONE % "chain: {}", "line 1: routes[0].chain: expected a list, got a mapping"),
    (ONE % "chains: []", "line 1: routes[0].chains: expected a mapping, got a list"),
    # webhooks
    ("webhooks: []", "line 1: webhooks: expected a mapping of names to webhooks, got a list"),
    ("webhooks: {off: {url: https://a.example/x, key: {env: HOOK}}}",
     "line 1: webhooks.off: a webhook's name is made of a-z, 0-9 and _ . - and is not `off`"),
    ("webhooks: {results: {url: https://a.example/x}}", "line 1: webhooks.results.key: is missing"),
    (HOOK % "", "line 1: webhooks.results.url: is missing"),
    (HOOK % "url: http://a.example/x",
     "line 1: webhooks.results.url: plain http would send the key unencrypted; use https, or private: true for a host of your own"),
    (HOOK % "url: https://127.0.0.1/x",
     "line 1: webhooks.results.url: this address is loopback, link-local or private; declare private: true if that is meant"),
    (HOOK % "url: https://169.254.169.254/x", "line 1: webhooks.results.url: this is a metadata service, never a provider"),
    (HOOK % "url: https://a.example/x, proxy: x", "line 1: webhooks.results.url: expected a url such as https://api.example.com/v1"),
    ("state_dir: /tmp\nproviders: {openai: {key: {env: X}}}\nroutes: [{name: r, match: {provider: openai}, deferred: {webhook: result}}]\n"
     "webhooks: {results: {url: https://a.example/x, key: {env: HOOK}}}",
     'line 3: routes[0].deferred.webhook: no webhook named "result", did you mean "results"?'),
    # names
    ("rotues: []", 'line 1: rotues: unknown key, did you mean "routes"?'),
    ("\n\nlisten: {prot: 1}", 'line 3: listen.prot: unknown key, did you mean "port"?'),
    ("routes: [{name: r, match: {provider: openai}, retry: {attemps: 3}}]",
     'line 1: routes[0].retry.attemps: unknown key, did you mean "attempts"?'),
    ("admission: {xyz: 1}", "line 1: admission.xyz: unknown key; known: held_bytes, in_flight"),
    ("digest: abc", f"line 1: digest: unknown key; known: {TOP}"),
    (ONE % "implicit: true", f"line 1: routes[0].implicit: unknown key; known: {OF_ROUTES}"),
    (ONE % "class: background, traffic: background",
     'line 1: routes[0].traffic: is another name of "traffic", which stands here too'),
    (ONE % "chains: {contextwindow: [openai]}",
     'line 1: routes[0].chains.contextwindow: unknown key, did you mean "context_window"?'),
    # values
    (ONE % "retry: {attempts: three}", 'line 1: routes[0].retry.attempts: expected a whole number >= 1, got "three"'),
    (ONE % "retry: {attempts: 0}", "line 1: routes[0].retry.attempts: expected a whole number >= 1, got 0"),
    (ONE % "retry: {attempts: 1.5}", "line 1: routes[0].retry.attempts: expected a whole number >= 1, got 1.5"),
    (ONE % "retry: {attempts: true}", "line 1: routes[0].retry.attempts: expected a whole number >= 1, got true"),
    (ONE % "retry: {attempts: null}", "line 1: routes[0].retry.attempts: expected a whole number >= 1, got nothing"),
    (ONE % "retry: {attempts: 010}", 'line 1: routes[0].retry.attempts: expected a whole number >= 1, got "010"'),
    (ONE % "breaker: {ratio: 50}", "line 1: routes[0].breaker.ratio: expected a number from 0 to 1, got 50"),
    (ONE % "breaker: {ratio: .nan}", 'line 1: routes[0].breaker.ratio: expected a number from 0 to 1, got ".nan"'),
    (ONE % "breaker: {growth: 1e999}", 'line 1: routes[0].breaker.growth: expected a number from 1 to 100, got "1e999"'),
    (ONE % "limits: {gap: soon}", f'line 1: routes[0].limits.gap: {DURATION}, got "soon"'),
    (ONE % "limits: {gap: 0}", f"line 1: routes[0].limits.gap: {DURATION}, got 0"),
    (ONE % "limits: {gap: 25h}", f'line 1: routes[0].limits.gap: {DURATION}, got "25h"'),
    (ONE % "limits: {gap: -1s}", f'line 1: routes[0].limits.gap: {DURATION}, got "-1s"'),
    ("listen: {max_body: 32MB5}",
     'line 1: listen.max_body: expected a size such as 32MiB, 1B to 1024GiB, got "32MB5"'),
    ("listen: {port: 65536}", "line 1: listen.port: expected a whole number from 0 to 65535, got 65536"),
    ("bypass: yes", 'line 1: bypass: expected true or false, got "yes"'),
    ("log_level: " + "x" * 41, "line 1: log_level: expected one of debug, info, warning, error, got a text of 41 characters"),
    ("routes:\n\t- name: a", "line 2: this is not YAML: found character that cannot start any token; lines begin with spaces, not tabs, and a text that begins with @, % or ` stands in quotes"),
    ("log_level: warn", 'line 1: log_level: expected one of debug, info, warning, error, got "warn", did you mean "warning"?'),
    (ONE % "signals: {empty: rejct}",
     'line 1: routes[0].signals.empty: expected one of off, observe, count, reject, got "rejct", did you mean "reject"?'),
    ("cache_size: {shared: true}", "line 1: cache_size.shared: needs a place: `shared.url` and `shared.key`"),
    (ONE % "cache: {scope: shared, fresh: 2h, stale: 1h}", "line 1: routes[0].cache.stale: has to be at least `fresh`"),
    (ONE % "cache: {semantic: {target: {provider: openai, key: {env: X}}}}",
     "line 1: routes[0].cache.semantic.target: needs the `model` that makes the vectors"),
    (ONE % "cache: {semantic: {target: {provider: openai, model: m}}}",
     "line 1: routes[0].cache.semantic.target: needs a `key`: the application's own is not used for it"),
    (ONE % "cache: {semantic: {target: {provider: anthropic, model: m, key: {env: X}}}}",
     "line 1: routes[0].cache.semantic.target: anthropic has no embeddings in OpenAI's form"),
    (ONE % "class: batch", 'line 1: routes[0].class: expected one of interactive, background, got "batch"'),
    (ONE % "static: {text: 5}", "line 1: routes[0].static.text: expected text, got 5; put it in quotes"),
    (ONE % "static: {}", "line 1: routes[0].static.text: is missing"),
    (ONE % "static: {text: ' '}", "line 1: routes[0].static.text: is empty"),
    (ONE % "static: {text: a, link: help}",
     "line 1: routes[0].static.link: expected a link such as https://example.com/help"),
    (ONE % "static: {text: a, json: '{'}", "line 1: routes[0].static.json: expected JSON, as a text"),
    # settings that contradict each other
    (ONE % "retry: {base: 9s}", "line 1: routes[0].retry.cap: has to be at least `base`"),
    (ONE % "breaker: {samples: 5}", "line 1: routes[0].breaker.min_samples: is more than `samples`"),
    (ONE % "breaker: {open: 10m}", "line 1: routes[0].breaker.longest: has to be at least `open`"),
    ("defaults: {breaker: {run: 1}}", "line 1: defaults.breaker.run_calls: is more than `run`"),
    ("defaults: {chain: [openai]}", "line 1: defaults.chain: is each route's own and has no default"),
    ("admin: {port: 4000}", "line 1: admin.port: 4000 is the port of `listen` already"),
    ("listen: {hosts: [0.0.0.0]}",
     "line 1: listen.hosts: 0.0.0.0 can be reached from outside the pod; that needs allow_remote: true and client_token"),
    ('listen: {hosts: ["::"], allow_remote: true}',
     "line 1: listen.client_token: is missing; hosts that are not loopback need it, as the path of a file"),
    ("listen: {hosts: [example.com]}",
     'line 1: listen.hosts[0]: expected an address such as 127.0.0.1, got "example.com"'),
    ("listen: {hosts: []}", "line 1: listen.hosts: expected at least one address"),
    ('listen: {names: ["a b"]}', 'line 1: listen.names[0]: expected a host name without a port, got "a b"'),
    ('listen: {origins: ["*"]}', 'line 1: listen.origins[0]: expected an origin such as https://app.example.com, got "*"'),
    # routes
    ("routes: [{match: {provider: openai}}]",
     "line 1: routes[0].name: is missing; it names the route in metrics and in requests"),
    ("routes: [{name: Fast, match: {provider: openai}}]", f"line 1: routes[0].name: a route's name {NAMES}"),
    ("routes: [{name: groq, match: {provider: groq}}]",
     "line 1: routes[0].name: is the name of a provider's own route; choose another, such as groq-calls"),
    ("routes: [{name: r, match: {provider: openai}}, {name: r, match: {provider: xai}}]",
     "line 1: routes[1].name: routes[0] has this name already"),
    ("routes: [{name: r}]",
     "line 1: routes[0].chain: is missing; a route without it needs match.provider, and asks that one"),
    ("routes: [{name: r, match: {provider: opena}}]",
     'line 1: routes[0].match.provider: no provider named "opena", did you mean "openai"?'),
    (ONE % "chain: [openai, grok]", 'line 1: routes[0].chain[1]: no provider named "grok", did you mean "groq"?'),
    (ONE % "chain: [{provider: zzz}]",
     'line 1: routes[0].chain[0].provider: no provider named "zzz"; known: anthropic, cerebras, cohere, dashscope, '
     "deepinfra, deepseek, fireworks, gemini, groq, huggingface, minimax, mistral, moonshot, nvidia, openai, "
     "openrouter, perplexity, sambanova, together, voyage, xai, zai"),
    (ONE % "chain: [{model: m}]", "line 1: routes[0].chain[0].provider: is missing"),
    ("providers: {openai: {region: eu}}\n" + ONE % "chain: [openai, {provider: groq, model: m}], allow: {regions: [eu]}",
     "line 2: routes[0].chain[1]: groq is outside of what this route allows: it has no region, not eu"),
    ("providers: {openai: {region: eu, processor: openai}}\n" + ONE % "allow: {regions: [ue], processors: [openai]}",
     'line 2: routes[0].allow.regions[0]: no provider has the region "ue"; known: eu'),
    ("providers: {openai: {region: eu}}\n" + ONE % "allow: {regions: [eu]}, cache: {scope: shared, semantic: "
     "{target: {provider: groq, model: m, key: {env: K}}}}",
     "line 2: routes[0].cache.semantic.target: groq is outside of what this route allows: it has no region, not eu"),
    ("defaults: {allow: {processors: [acme]}}", 'line 1: defaults.allow.processors[0]: no provider has the processor "acme"'),
    (ONE % "chain: [openai, openai]",
     'line 1: routes[0].chain[1]: a second target named "openai"; give one of them another `name`'),
    (ONE % "chain: [openai, anthropic]",
     "line 1: routes[0].chain[1]: anthropic speaks another dialect than openai and knows other models: "
     "say which `model` it shall be asked for"),
    (ONE % "chains: {timeout: [anthropic]}",
     "line 1: routes[0].chains.timeout[0]: anthropic speaks another dialect than openai and knows other models: "
     "say which `model` it shall be asked for"),
    (ONE % "chain: [openai, {provider: cohere, model: command}]",
     "line 1: routes[0].chain[1]: cohere speaks a dialect of its own, openai speaks openai_chat: "
     "calls are translated between openai_chat, openai_responses, anthropic, gemini only"),
    ("providers: {mine: {vendor: cohere}}\nroutes: [{name: r, match: {provider: cohere}, chain: [cohere, mine]}]",
     "line 2: routes[0].chain[1]: cohere is passed through only: nothing can take its calls over"),
    (ONE % "chain: [{group: openai}]",
     'line 1: routes[0].chain[0].group: expected a list of targets, got "openai"'),
    (ONE % "chain: [{group: []}]", "line 1: routes[0].chain[0].group: expected a list of targets, got a list"),
    (ONE % "chain: [{group: [openai], weight: 3}]",
     "line 1: routes[0].chain[0].weight: stands beside `group`; what holds for a member is said there"),
    (ONE % "chain: [{group: [{provider: openai, weight: 0}]}]",
     "line 1: routes[0].chain[0].group: has no member with a weight above 0: none could be drawn"),
    (ONE % "chain: [{group: [openai, {provider: openai, model: m, weight: -1}]}]",
     "line 1: routes[0].chain[0].group[1].weight: expected a number >= 0, got -1"),
    (ONE % "chain: [{provider: openai, weight: 5}]",
     "line 1: routes[0].chain[0].weight: is for the members of a group: "
     "{group: [{provider: ..., weight: ...}, ...]}"),
    (ONE % "chain: [{group: [openai]}, {group: [{provider: openai, model: m}, openai]}]",
     'line 1: routes[0].chain[1].group[1]: a second target named "openai"; give one of them another `name`'),
    (ONE % "chain: [{group: [{provider: openai, group: []}]}]",
     "line 1: routes[0].chain[0].group[0].group: unknown key; known: baseline, key, model, name, parameters, provider, system, weight"),
    (ONE % 'chain: [{provider: openai, model: "a b"}]',
     "line 1: routes[0].chain[0].model: a model's name has no blanks and only ASCII"),
    (ONE % 'chain: [{provider: openai, name: "a b"}]',
     "line 1: routes[0].chain[0].name: a target's name is made of letters, digits and _ . : / @ -"),
    ('routes: [{name: r, match: {provider: openai, model: "a b"}}]',
     'line 1: routes[0].match.model: expected a glob without blanks, such as "gpt-4o*"'),
    ("routes: [{name: r, match: {provider: openai, header: A}}]",
     f"line 1: routes[0].match.header: a route's name {NAMES}"),
    # providers
    ("providers: {opnai: {}}",
     'line 1: providers.opnai: is no well-known provider; it needs `vendor`, or `url` and `dialect`, did you mean "openai"?'),
    ('providers: {mine: {url: "https://a.example.com"}}',
     "line 1: providers.mine: is no well-known provider; it needs `vendor`, or `url` and `dialect`"),
    ("providers: {mine: {vendor: grok}}",
     'line 1: providers.mine.vendor: no well-known provider has this name, did you mean "groq"?'),
    ("providers: {vllm: {}}", "line 1: providers.vllm.url: is missing; expected a url such as http://10.0.0.5:8000/v1"),
    ("providers: {Mine: {vendor: openai}}",
     "line 1: providers.Mine: a provider's name is made of a-z, 0-9 and _ . - (it is a path prefix)"),
    ("providers: {a/b: {vendor: openai}}",
     "line 1: providers.a/b: a provider's name is made of a-z, 0-9 and _ . - (it is a path prefix)"),
    ('providers: {mine: {dialect: openai, url: "https://a.example.com"}}',
     'line 1: providers.mine.dialect: expected one of openai_chat, openai_responses, embeddings, anthropic, gemini, http, or "" to pass everything through, got "openai"'),
    ("providers: {openai: {version: '1'}}",
     'line 1: providers.openai.version: expected a version segment such as v1, got "1"'),
    ("providers: {openai: {auth: bearer}}",
     'line 1: providers.openai.auth: expected one of authorization, x-api-key, api-key, x-goog-api-key, got "bearer"'),
    ('providers: {openai: {proxy: "http://p.example.com:3128/x"}}',
     "line 1: providers.openai.proxy: a proxy is scheme, host and port, such as http://proxy.example.com:3128"),
    ("providers: {openai: {key: {file: 5}}}", "line 1: providers.openai.key.file: expected the path of a file"),
    ("providers: {openai: {key: {fiel: /x}}}", 'line 1: providers.openai.key.fiel: unknown key, did you mean "file"?'),
    ("providers: {openai: {key: {env: a-b}}}",
     "line 1: providers.openai.key.env: expected the name of a variable, letters, digits and _"),
    ("providers: {openai: {key: {file: /x, env: X}}}",
     "line 1: providers.openai.key: expected {file: PATH} or {env: NAME}, never the key itself"),
    ("providers: {openai: {key: hunter2}}",
     "line 1: providers.openai.key: expected {file: PATH} or {env: NAME}, never the key itself"),
    # keys
    ("providers: {openai: {key: sk-abcdefgh}}", f"line 1: providers.openai.key: looks like a key, and {KEYS}"),
    ("providers: {openai: {region: gsk_abcdefghijklmnop}}", f"line 1: providers.openai.region: looks like a key, and {KEYS}"),
    ("log_level: Bearer abcdefgh", f"line 1: log_level: looks like a key, and {KEYS}"),
    ("drain: 0123456789abcdef0123456789abcdef", f"line 1: drain: looks like a key, and {KEYS}"),
    ("providers: {sk-abcdefghijkl: {}}", f"line 1: providers.?: looks like a key, and {KEYS}"),
    (ONE % "static: {text: 'use sk-abcdefghijkl'}", f"line 1: routes[0].static.text: looks like a key, and {KEYS}"),
    # YAML
    ("a: [", "line 2: this is not YAML: did not find expected node content"),
    ("drain: 1s\ndrain: 2s", "line 2: drain: stands twice here, first on line 1"),
    ("drain: !!python/name:os.system x", "line 1: drain: tags are not read"),
    ("defaults: &a {}\nlisten: {<<: *a}",
     "line 2: listen.<<: merge keys are not read; what routes share goes under `defaults`"),
    ("? [a]\n: 1", "line 1: keys have to be plain words"),
    ("a: \x00", "this is not YAML: it holds characters that are not allowed"),
]  # fmt: skip


def problems_of(text: str) -> list[str]:
    with pytest.raises(config.ConfigError) as told:
        config.parse(text, "sidecar.yaml")
    return [problem.text() for problem in told.value.problems]


@pytest.mark.parametrize(("text", "message"), MISTAKES, ids=[text[:60] for text, _ in MISTAKES])
def test_a_mistake_is_told_once_and_exactly(text: str, message: str) -> None:
    told = problems_of(text)

    assert [message] == told


URLS = [
    ("ftp://a.example.com", "expected a url such as https://api.example.com/v1"),
    ("a.example.com/v1", "expected a url such as https://api.example.com/v1"),
    ("https://", "expected a url such as https://api.example.com/v1"),
    ("https://me:pw@a.example.com", "a url carries no user and no password; use `key` for credentials"),
    ("https://a.example.com@b.example.com", "a url carries no user and no password; use `key` for credentials"),
    ("https://a.example.com/v1?x=1", "a url has no query and no fragment here"),
    ("https://a.example.com/v1#x", "a url has no query and no fragment here"),
    ("https://a.example.com/v1?", "a url has no query and no fragment here"),
    ("https://a.example.com:0/v1", "the port is missing or 0"),
    ("https://a.example.com:/v1", "the port is missing or 0"),
    ("https://a.example.com:99999/v1", "this is no url; expected one such as https://api.example.com/v1"),
    ("https://a.example.com/../v1", "the path of a url is made of plain segments, such as /openai/v1"),
    ("https://a.example.com/%2e%2e/v1", "the path of a url is made of plain segments, such as /openai/v1"),
    ("https://a.example.com//v1", "the path of a url is made of plain segments, such as /openai/v1"),
    ("https://a.example.com\\\\@b.example.com", "a url has no blanks, no backslashes and only ASCII"),
    ("https://a example.com", "a url has no blanks, no backslashes and only ASCII"),
    ("https://ex\u00e4mple.com", "a url has no blanks, no backslashes and only ASCII"),
    ("http://a.example.com/v1", "plain http would send the key unencrypted; use https, or private: true for a host of your own"),
    ("https://127.0.0.1", "this address is loopback, link-local or private; declare private: true if that is meant"),
    ("https://[::1]:8000", "this address is loopback, link-local or private; declare private: true if that is meant"),
    ("https://10.1.2.3", "this address is loopback, link-local or private; declare private: true if that is meant"),
    ("https://[::ffff:10.1.2.3]", "this address is loopback, link-local or private; declare private: true if that is meant"),
    ("https://169.254.1.1", "this address is loopback, link-local or private; declare private: true if that is meant"),
    ("https://localhost", "this is the pod itself; declare private: true if that is meant"),
    ("https://x.localhost.", "this is the pod itself; declare private: true if that is meant"),
    ("https://127.1", "the host is neither a name nor an address in its usual form"),
    ("https://0x7f000001", "the host is neither a name nor an address in its usual form"),
    ("https://2130706433", "the host is neither a name nor an address in its usual form"),
    ("https://0177.0.0.1", "the host is neither a name nor an address in its usual form"),
    ("https://[fe80::1%25eth0]", "an address with a zone is not read"),
    ("https://0.0.0.0", "this address cannot be a provider's"),
    ("https://224.0.0.1", "this address cannot be a provider's"),
    ("https://169.254.169.254", "this is a metadata service, never a provider"),
    ("https://[::ffff:169.254.169.254]", "this is a metadata service, never a provider"),
    ("https://[fd00:ec2::254]", "this is a metadata service, never a provider"),
    ("https://metadata.google.internal", "this is a metadata service, never a provider"),
]  # fmt: skip


@pytest.mark.parametrize(("url", "message"), URLS)
def test_a_url_that_could_send_bytes_astray_is_refused(url: str, message: str) -> None:
    told = problems_of(f'providers: {{mine: {{dialect: openai_chat, url: "{url}"}}}}')

    assert [f"line 1: providers.mine.url: {message}"] == told


@pytest.mark.parametrize("url", ["http://169.254.169.254", "http://metadata", "http://[fd00:ec2::254]"])
def test_a_metadata_service_is_no_provider_even_if_declared_private(url: str) -> None:
    told = problems_of(f'providers: {{mine: {{dialect: openai_chat, private: true, url: "{url}"}}}}')

    assert ["line 1: providers.mine.url: this is a metadata service, never a provider"] == told


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file() -> None:
    told = problems_of("""
listen: {prot: 4000}
providers:
  broken: {dialect: openai_chat, url: "http://a.example.com"}
routes:
  - name: one
    match: {provider: broken, operation: chta}
    retry: {attempts: three}
    chain: [broken, openai]
  - name: one
    match: {provider: openai}
""")

    assert [
        'line 2: listen.prot: unknown key, did you mean "port"?',
        "line 4: providers.broken.url: plain http would send the key unencrypted; "
        "use https, or private: true for a host of your own",
        'line 7: routes[0].match.operation: expected one of chat, embeddings, tool, other, got "chta", did you mean "chat"?',
        'line 8: routes[0].retry.attempts: expected a whole number >= 1, got "three"',
        "line 10: routes[1].name: routes[0] has this name already",
    ] == told


def test_the_text_of_the_error_is_what_check_prints() -> None:
    with pytest.raises(config.ConfigError) as told:
        config.parse("a: 1\nb: 2", "sidecar.yaml")

    head, *rows = str(told.value).splitlines()
    assert "sidecar.yaml: 2 problems" == head
    assert ["  line 1: a: ", "  line 2: b: "] == [row[:13] for row in rows]


# ---- bounds ---------------------------------------------------------------------------------

BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join(['*' + a] * 10)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, "line 1: more than 50000 values, anchors expanded"),
        ("a: &a [*a]", "line 1: more than 32 levels deep, anchors expanded"),
        ("[" * 100_000, "line 1: more than 32 levels deep"),
        ("a: " + "{b: " * 500, "line 1: more than 32 levels deep"),
        ("- x\n" * 200_000, "more than 50000 values"),
        ("#" * (1024 * 1024 + 1), "the file is larger than 1024 KiB"),
    ],
    ids=["bomb", "loop", "brackets", "braces", "long", "large"],
)
def test_what_would_eat_the_memory_is_refused(text: str, message: str) -> None:
    assert [message] == problems_of(text)


# ---- properties -----------------------------------------------------------------------------

FULL = """
listen: {port: 4100, names: [localhost], max_body: 1MiB}
admission: {in_flight: 9}
deadlines: {interactive: 20s}
request_headers: {route: false}
drain: 5s
providers:
  openai: {key: {env: OPENAI_API_KEY}}
  eu: {vendor: openai, url: "https://eu.example.com/v1", key: {file: /keys/eu}, region: eu, processor: openai}
routes:
  - name: summaries
    match: {provider: openai, operation: chat, model: "gpt-4o*", stream: true}
    traffic: background
    chain: [openai, {provider: eu, model: m, name: europe}]
    chains: {context_window: [{provider: openai, model: large}]}
    limits: {gap: 30s, linger: 2s}
    retry: {attempts: 2, cap: 4s}
    budget: {size: 5}
    breaker: {open: 15s, growth: 1}
    quality_breaker: {min_bodies: 2}
    signals: {empty: off}
    commit: {hold_bytes: 64KiB}
    static: {text: sorry, link: "https://example.com"}
defaults: {limits: {connect: 1s}, deadline: 10s}
"""


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every key of the configuration, as the way to it."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield (*path, key)
            yield from places(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from places(item, (*path, index))


def mangled(way: tuple[Any, ...], typo: str) -> str:
    tree = yaml.load(FULL, yaml.CSafeLoader)
    node = tree
    for part in way[:-1]:
        node = node[part]
    node[typo] = node.pop(way[-1])
    return yaml.dump(tree, Dumper=yaml.CSafeDumper)


def shown(way: tuple[Any, ...]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in way).lstrip(".")


WAYS = [
    way for way in places(yaml.load(FULL, yaml.CSafeLoader)) if way[:1] != ("providers",) or len(way) != 2
]


@given(st.sampled_from(WAYS), st.integers(0, 20), st.sampled_from("xqz_"))
@settings(max_examples=150, deadline=None)
def test_a_config_with_one_typo_always_names_its_path(way: tuple[Any, ...], at: int, letter: str) -> None:
    at %= len(way[-1]) + 1
    typo = way[-1][:at] + letter + way[-1][at:]

    told = problems_of(mangled(way, typo))

    assert any(f" {shown((*way[:-1], typo))}: unknown key" in row for row in told)


def test_the_config_without_typos_is_fine() -> None:
    assert "summaries" == config.parse(FULL).routes[0].name


CANARY = "sk-canary0123456789abcdef"


@given(st.sampled_from(list(places(yaml.load(FULL, yaml.CSafeLoader)))), st.booleans())
@settings(max_examples=120, deadline=None)
def test_a_key_in_the_wrong_place_is_refused_and_never_shown(way: tuple[Any, ...], as_name: bool) -> None:
    if as_name:
        text = mangled(way, CANARY)
    else:
        tree = yaml.load(FULL, yaml.CSafeLoader)
        node = tree
        for part in way[:-1]:
            node = node[part]
        node[way[-1]] = CANARY
        text = yaml.dump(tree, Dumper=yaml.CSafeDumper)

    with pytest.raises(config.ConfigError) as told:
        config.parse(text)

    assert "looks like a key" in str(told.value)
    assert "canary" not in str(told.value) + repr(told.value) + repr(told.value.problems)


WORDS = (
    *("routes", "providers", "defaults", "listen", "hosts", "openai", "name", "match", "provider", "url"),
    *("chain", "chains", "timeout", "retry", "key", "file", "env", "static", "text"),
)


def assert_read(text: str) -> None:
    problems: list[config.Problem] = []
    try:
        settings = config.parse(text)
    except config.ConfigError as error:
        problems = error.problems
    else:
        assert settings.digest
        return
    assert problems


@given(st.text(max_size=200))
@settings(max_examples=200, deadline=None)
def test_any_text_is_settings_or_a_list_of_problems(text: str) -> None:
    assert_read(text)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(WORDS),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
@settings(max_examples=300, deadline=None)
def test_any_shape_is_settings_or_a_list_of_problems(tree: Any) -> None:
    assert_read(yaml.dump(tree, Dumper=yaml.CSafeDumper))
