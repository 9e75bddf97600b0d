"""Well-known providers, one row each: they work by their prefix with no configuration at all.

A vendor is a row as long as only its address, its dialect and the header of its key differ. The day
one needs an `if`, it leaves this table and gets a dialect.

A url that ends in a version segment says which version is put in where a client sent none. A url
without any path gets the dialect's own version, for the dialect's own operations only (deepseek
serves both forms); `unversioned` says that the vendor has no such paths.

Some addresses are the customer's own: those rows have no url, an `example` for whoever forgets it, and
a `path` for a url that was given as the vendor's console shows it, without one.

`counts` stands only where the vendor documents the option and says nothing without it. Mistral refuses
it (422), and it, OpenRouter, xAI and Perplexity among others report their usage without being asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sidecar.model import AuthStyle


@dataclass(frozen=True, slots=True)
class Vendor:
    name: str
    url: str  # "": local or per customer, has to be configured
    dialect: str = "openai_chat"  # a name in sidecar.dialects.DIALECTS; "": passed through
    auth: AuthStyle = AuthStyle.BEARER
    private: bool = False
    unversioned: bool = False
    path: str = ""  # of a configured url that has none
    example: str = ""  # of a url, where each customer has another one
    counts: bool = False  # a stream says what it took if `stream_options.include_usage` asks for it


_ROWS = (
    Vendor("openai", "https://api.openai.com/v1", counts=True),
    Vendor("anthropic", "https://api.anthropic.com/v1", "anthropic", AuthStyle.X_API_KEY),
    Vendor("gemini", "https://generativelanguage.googleapis.com/v1beta", "gemini", AuthStyle.X_GOOG_API_KEY),
    Vendor("cerebras", "https://api.cerebras.ai/v1"),
    Vendor("dashscope", "https://dashscope-intl.aliyuncs.com/compatible-mode/v1", counts=True),
    Vendor("deepinfra", "https://api.deepinfra.com/v1/openai", unversioned=True),
    Vendor("deepseek", "https://api.deepseek.com", counts=True),
    Vendor("fireworks", "https://api.fireworks.ai/inference/v1"),
    Vendor("groq", "https://api.groq.com/openai/v1", counts=True),
    Vendor("huggingface", "https://router.huggingface.co/v1"),
    Vendor("minimax", "https://api.minimax.io/v1"),
    Vendor("mistral", "https://api.mistral.ai/v1"),
    Vendor("moonshot", "https://api.moonshot.ai/v1"),
    Vendor("nvidia", "https://integrate.api.nvidia.com/v1"),
    Vendor("openrouter", "https://openrouter.ai/api/v1"),
    Vendor("perplexity", "https://api.perplexity.ai", unversioned=True),
    Vendor("sambanova", "https://api.sambanova.ai/v1"),
    Vendor("together", "https://api.together.ai/v1"),
    Vendor("voyage", "https://api.voyageai.com/v1"),
    Vendor("xai", "https://api.x.ai/v1"),
    Vendor("zai", "https://api.z.ai/api/paas/v4"),
    # passed through with metrics: nobody here reads what it says
    Vendor("cohere", "https://api.cohere.com", ""),
    # addresses are the customer's
    Vendor(
        "azure",
        "",
        auth=AuthStyle.API_KEY,
        path="/openai/v1",
        example="https://my-resource.openai.azure.com/openai/v1",
        counts=True,
    ),
    Vendor("bedrock", "", "", example="https://bedrock-runtime.us-east-1.amazonaws.com"),
    Vendor("vertex", "", "gemini", path="/v1", example="https://europe-west4-aiplatform.googleapis.com/v1"),
    Vendor("llamacpp", "", private=True, example="http://10.0.0.5:8080/v1", counts=True),
    Vendor("lmstudio", "", private=True, example="http://10.0.0.5:1234/v1"),
    Vendor("ollama", "", private=True, example="http://10.0.0.5:11434", counts=True),
    Vendor("sglang", "", private=True, example="http://10.0.0.5:30000/v1", counts=True),
    Vendor("vllm", "", private=True, example="http://10.0.0.5:8000/v1", counts=True),
)

VENDORS: Mapping[str, Vendor] = {row.name: row for row in _ROWS}
