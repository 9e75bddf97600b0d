"""What each SDK honours: one row per client and provider, and what those who use it should know.

A row that is "measured" was made by running the client with nothing but the variable set, against a server
that recorded what arrived (`python -m tests.doctor.measure_clients`); one that is "read" comes from the
client's source or manual. `variables` stand in the client's own order: the first one that is set wins.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Language = Literal["python", "node", "go", "java"]
Proxy = Literal["yes", "node", "jvm"]  # honours HTTPS_PROXY; only a new Node that is told to; a JVM never

LANGUAGES: Mapping[Language, str] = {"python": "Python", "node": "Node", "go": "Go", "java": "Java"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    name: str  # as its package registry calls it
    language: Language
    provider: str  # whose API it speaks: a prefix of the sidecar
    base: str  # what a variable's value ends with: http://127.0.0.1:4000/BASE
    variables: tuple[str, ...]  # the first that is set wins; none: nothing but code moves it
    path: str  # of a call, as it arrives at the sidecar
    version: str = ""  # that was measured
    proxy: Proxy = "yes"
    trust: str = ""  # the variable that makes it accept another authority
    note: str = ""
    opt_in: bool = False  # installed says nothing: worth a word only where its variable is set

    @property
    def source(self) -> str:
        return "measured" if self.version else "read"


_PYTHON = (
    Client(
        name="openai",
        language="python",
        provider="openai",
        base="openai/v1",
        variables=("OPENAI_BASE_URL",),
        path="/openai/v1/chat/completions",
        version="3.54.0",
        trust="SSL_CERT_FILE",
        note="`OPENAI_API_BASE` is ignored since version 1.",
    ),
    Client(
        name="openai",
        language="python",
        provider="azure",
        base="azure",
        variables=("AZURE_OPENAI_ENDPOINT",),
        path="/azure/openai/deployments/NAME/chat/completions",
        version="3.54.0",
        trust="SSL_CERT_FILE",
        note="The class `AzureOpenAI`. The sidecar needs your resource's url: `providers.azure.url`.",
        opt_in=True,
    ),
    Client(
        name="anthropic",
        language="python",
        provider="anthropic",
        base="anthropic",
        variables=("ANTHROPIC_BASE_URL",),
        path="/anthropic/v1/messages",
        version="2.12.0",
        trust="SSL_CERT_FILE",
        note="It adds `/v1` itself. The Bedrock and Vertex classes have variables of their own.",
    ),
    Client(
        name="google-genai",
        language="python",
        provider="gemini",
        base="gemini",
        variables=("GOOGLE_GEMINI_BASE_URL",),
        path="/gemini/v1/models/NAME:generateContent",
        version="3.4.0",
        trust="SSL_CERT_FILE",
        note="Versions 1 and 2 ask under `/v1beta`; both work. Vertex: `GOOGLE_VERTEX_BASE_URL`.",
    ),
    Client(
        name="litellm",
        language="python",
        provider="openai",
        base="openai/v1",
        variables=("OPENAI_BASE_URL", "OPENAI_API_BASE"),
        path="/openai/v1/chat/completions",
        version="1.106.2",
        trust="SSL_CERT_FILE",
    ),
    Client(
        name="litellm",
        language="python",
        provider="anthropic",
        base="anthropic",
        variables=("ANTHROPIC_API_BASE", "ANTHROPIC_BASE_URL"),
        path="/anthropic/v1/messages",
        version="1.106.2",
        trust="SSL_CERT_FILE",
    ),
    Client(
        name="litellm",
        language="python",
        provider="gemini",
        base="gemini/v1beta",
        variables=("GEMINI_API_BASE",),
        path="/gemini/v1beta/models/NAME:generateContent",
        version="1.106.2",
        trust="SSL_CERT_FILE",
        note="It adds no version segment; the sidecar takes both forms.",
    ),
    Client(
        name="langchain-openai",
        language="python",
        provider="openai",
        base="openai/v1",
        variables=("OPENAI_API_BASE", "OPENAI_BASE_URL"),
        path="/openai/v1/chat/completions",
        version="1.7.3",
        trust="SSL_CERT_FILE",
        note="With either variable set it stops asking for token usage on streams: pass `stream_usage=True`.",
    ),
    Client(
        name="langchain-anthropic",
        language="python",
        provider="anthropic",
        base="anthropic",
        variables=("ANTHROPIC_API_URL", "ANTHROPIC_BASE_URL"),
        path="/anthropic/v1/messages",
        version="1.7.7",
        trust="SSL_CERT_FILE",
    ),
    Client(
        name="langchain-google-genai",
        language="python",
        provider="gemini",
        base="gemini",
        variables=("GOOGLE_GEMINI_BASE_URL",),
        path="/gemini/v1beta/models/NAME:generateContent",
        version="4.4.2",
        trust="SSL_CERT_FILE",
    ),
    Client(
        name="llama-index-llms-openai",
        language="python",
        provider="openai",
        base="openai/v1",
        variables=("OPENAI_API_BASE",),
        path="/openai/v1/chat/completions",
        version="0.8.3",
        trust="SSL_CERT_FILE",
        note="It hands its own default to the openai SDK, so `OPENAI_BASE_URL` has no effect.",
    ),
    Client(
        name="llama-index-llms-anthropic",
        language="python",
        provider="anthropic",
        base="anthropic",
        variables=("ANTHROPIC_BASE_URL",),
        path="/anthropic/v1/messages",
        trust="SSL_CERT_FILE",
        note="Through the anthropic SDK.",
    ),
    Client(
        name="groq",
        language="python",
        provider="groq",
        base="groq",
        variables=("GROQ_BASE_URL",),
        path="/groq/openai/v1/chat/completions",
        version="1.7.0",
        trust="SSL_CERT_FILE",
    ),
    Client(
        name="cohere",
        language="python",
        provider="cohere",
        base="cohere",
        variables=("CO_API_URL",),
        path="/cohere/v2/chat",
        version="7.3.1",
        trust="SSL_CERT_FILE",
        note="Read when the module is imported: set it before the process starts.",
    ),
    Client(
        name="mistralai",
        language="python",
        provider="mistral",
        base="mistral",
        variables=(),
        path="/mistral/v1/chat/completions",
        version="3.7.0",
        trust="SSL_CERT_FILE",
        note="Only `server_url` in code moves it.",
    ),
    Client(
        name="boto3",
        language="python",
        provider="bedrock",
        base="bedrock",
        variables=("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "AWS_ENDPOINT_URL"),
        path="/bedrock/model/NAME/converse",
        version="1.44.5",
        trust="AWS_CA_BUNDLE",
        note="Its signature covers the host, so such calls pass as they are. `AWS_ENDPOINT_URL` moves "
        "every service, S3 too: do not use it.",
        opt_in=True,
    ),
)

_NODE = (
    Client(
        name="openai",
        language="node",
        provider="openai",
        base="openai/v1",
        variables=("OPENAI_BASE_URL",),
        path="/openai/v1/chat/completions",
        version="6.49.0",
        proxy="node",
        trust="NODE_EXTRA_CA_CERTS",
        note="A `provider` object in code switches the variable off.",
    ),
    Client(
        name="@anthropic-ai/sdk",
        language="node",
        provider="anthropic",
        base="anthropic",
        variables=("ANTHROPIC_BASE_URL",),
        path="/anthropic/v1/messages",
        version="1.12.0",
        proxy="node",
        trust="NODE_EXTRA_CA_CERTS",
    ),
    Client(
        name="@google/genai",
        language="node",
        provider="gemini",
        base="gemini",
        variables=("GOOGLE_GEMINI_BASE_URL",),
        path="/gemini/v1beta/models/NAME:generateContent",
        version="2.32.0",
        proxy="node",
        trust="NODE_EXTRA_CA_CERTS",
    ),
    Client(
        name="@ai-sdk/openai",
        language="node",
        provider="openai",
        base="openai/v1",
        variables=("OPENAI_BASE_URL",),
        path="/openai/v1/responses",
        version="3.0.141",
        proxy="node",
        trust="NODE_EXTRA_CA_CERTS",
        note="It speaks the Responses API by default: routes of operation `chat` do not match its calls.",
    ),
    Client(
        name="@ai-sdk/anthropic",
        language="node",
        provider="anthropic",
        base="anthropic",
        variables=("ANTHROPIC_BASE_URL",),
        path="/anthropic/messages",
        version="3.0.139",
        proxy="node",
        trust="NODE_EXTRA_CA_CERTS",
        note="It adds no `/v1`, unlike Anthropic's own SDK; the sidecar takes both forms.",
    ),
    Client(
        name="@ai-sdk/google",
        language="node",
        provider="gemini",
        base="gemini/v1beta",
        variables=(),
        path="/gemini/v1beta/models/NAME:generateContent",
        version="3.0.141",
        proxy="node",
        trust="NODE_EXTRA_CA_CERTS",
        note="Only code moves it: `createGoogleGenerativeAI({baseURL})`, or interception on a new Node.",
    ),
    Client(
        name="@langchain/openai",
        language="node",
        provider="openai",
        base="openai/v1",
        variables=("OPENAI_API_BASE", "OPENAI_BASE_URL"),
        path="/openai/v1/chat/completions",
        version="1.5.8",
        proxy="node",
        trust="NODE_EXTRA_CA_CERTS",
    ),
    Client(
        name="@langchain/anthropic",
        language="node",
        provider="anthropic",
        base="anthropic",
        variables=("ANTHROPIC_API_URL", "ANTHROPIC_BASE_URL"),
        path="/anthropic/v1/messages",
        version="1.5.11",
        proxy="node",
        trust="NODE_EXTRA_CA_CERTS",
    ),
)

_COMPILED = (
    Client(
        name="github.com/openai/openai-go",
        language="go",
        provider="openai",
        base="openai/v1",
        variables=("OPENAI_BASE_URL",),
        path="/openai/v1/chat/completions",
        trust="SSL_CERT_FILE",
        note="`option.WithBaseURL` in code wins.",
    ),
    Client(
        name="github.com/anthropics/anthropic-sdk-go",
        language="go",
        provider="anthropic",
        base="anthropic",
        variables=("ANTHROPIC_BASE_URL",),
        path="/anthropic/v1/messages",
        trust="SSL_CERT_FILE",
    ),
    Client(
        name="com.openai:openai-java",
        language="java",
        provider="openai",
        base="openai/v1",
        variables=("OPENAI_BASE_URL",),
        path="/openai/v1/chat/completions",
        proxy="jvm",
        note="Only through `fromEnv()`; the system property `openai.baseUrl` wins.",
    ),
    Client(
        name="com.anthropic:anthropic-java",
        language="java",
        provider="anthropic",
        base="anthropic",
        variables=("ANTHROPIC_BASE_URL",),
        path="/anthropic/v1/messages",
        proxy="jvm",
        note="Only through `fromEnv()`.",
    ),
)

CLIENTS: tuple[Client, ...] = (*_PYTHON, *_NODE, *_COMPILED)


def names(language: Language) -> frozenset[str]:
    return frozenset(row.name for row in CLIENTS if row.language == language)


BASE_VARIABLES: frozenset[str] = frozenset(name for row in CLIENTS for name in row.variables)
TRUST_VARIABLES: frozenset[str] = frozenset(row.trust for row in CLIENTS if row.trust)
PROXY_VARIABLES: frozenset[str] = frozenset(
    case for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY") for case in (name, name.lower())
)
