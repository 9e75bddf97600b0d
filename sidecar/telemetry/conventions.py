"""What the GenAI conventions call providers and operations, for spans and metrics alike."""

from __future__ import annotations

from sidecar.model import Call, FinishReason, Operation, Provider

FINISHES = {reason: reason.value for reason in FinishReason} | {
    FinishReason.TOOL: "tool_call",
    FinishReason.FILTER: "content_filter",
}

# The conventions' names of providers, where they are not the vendor's name here.
_NAMES = {
    "gemini": "gcp.gemini",
    "vertex": "gcp.vertex_ai",
    "bedrock": "aws.bedrock",
    "azure": "azure.ai.openai",
    "mistral": "mistral_ai",
    "moonshot": "moonshot_ai",
    "xai": "x_ai",
}
_HOSTS = (
    ("api.openai.com", "openai"),
    ("api.anthropic.com", "anthropic"),
    ("generativelanguage.googleapis.com", "gcp.gemini"),
    ("aiplatform.googleapis.com", "gcp.vertex_ai"),
    (".openai.azure.com", "azure.ai.openai"),
    (".services.ai.azure.com", "azure.ai.inference"),
    (".amazonaws.com", "aws.bedrock"),
    ("api.mistral.ai", "mistral_ai"),
    ("api.cohere.com", "cohere"),
    ("api.deepseek.com", "deepseek"),
    ("api.groq.com", "groq"),
    ("api.x.ai", "x_ai"),
    ("api.perplexity.ai", "perplexity"),
    ("api.moonshot.ai", "moonshot_ai"),
)


def known_as(provider: Provider) -> str:
    """The conventions' name: by the host that is asked, else the vendor's name, else the configured one."""
    for host, known in _HOSTS:
        if provider.host.endswith(host):
            return known
    return _NAMES.get(provider.name, provider.name)


def operation_of(call: Call) -> str:
    if call.ask.operation is Operation.EMBEDDINGS:
        return "embeddings"
    return "generate_content" if call.dialect == "gemini" else "chat"
