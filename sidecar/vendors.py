"""Well-known providers, one row each: they work by their prefix with no configuration at all.

A vendor is a row as long as only its address, its dialect and the header of its key differ. The day
one needs an `if`, it leaves this table and gets a dialect.

A url that ends in a version segment says which version is put in where a client sent none. A url
without any path gets the dialect's own version, for the dialect's own operations only (deepseek
serves both forms); `unversioned` says that the vendor has no such paths.
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


_ROWS = (
    Vendor("openai", "https://api.openai.com/v1"),
    Vendor("anthropic", "https://api.anthropic.com/v1", "anthropic", AuthStyle.X_API_KEY),
    Vendor("cerebras", "https://api.cerebras.ai/v1"),
    Vendor("deepinfra", "https://api.deepinfra.com/v1/openai", unversioned=True),
    Vendor("deepseek", "https://api.deepseek.com"),
    Vendor("fireworks", "https://api.fireworks.ai/inference/v1"),
    Vendor("gemini", "https://generativelanguage.googleapis.com/v1beta", "gemini", AuthStyle.X_GOOG_API_KEY),
    Vendor("groq", "https://api.groq.com/openai/v1"),
    Vendor("huggingface", "https://router.huggingface.co/v1"),
    Vendor("mistral", "https://api.mistral.ai/v1"),
    Vendor("moonshot", "https://api.moonshot.ai/v1"),
    Vendor("nvidia", "https://integrate.api.nvidia.com/v1"),
    Vendor("openrouter", "https://openrouter.ai/api/v1"),
    Vendor("perplexity", "https://api.perplexity.ai", unversioned=True),
    Vendor("sambanova", "https://api.sambanova.ai/v1"),
    Vendor("together", "https://api.together.xyz/v1"),
    Vendor("xai", "https://api.x.ai/v1"),
    # passed through with metrics, until their dialects come
    Vendor("cohere", "https://api.cohere.com", ""),
    # addresses are the customer's
    Vendor("azure", "", auth=AuthStyle.API_KEY),
    Vendor("llamacpp", "", private=True),
    Vendor("lmstudio", "", private=True),
    Vendor("ollama", "", private=True),
    Vendor("sglang", "", private=True),
    Vendor("vllm", "", private=True),
)

VENDORS: Mapping[str, Vendor] = {row.name: row for row in _ROWS}
