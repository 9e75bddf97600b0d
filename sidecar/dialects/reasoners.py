"""Which models think before they answer, by their names.

It decides one thing: how long first content may take (product.md R6). So a doubtful row errs on
the side of patience, and what the request itself says about reasoning always wins over its name.
"""

from __future__ import annotations

import re

_NAMES = (
    r"^o[1-9](?:-|$)",  # OpenAI's o-series: o1, o3-mini, o4-mini-2025-04-16
    r"^(?:openai\.)?gpt-(?:[5-9]|\d\d)(?!.*-chat)",  # gpt-5 and later, but not gpt-5-chat-latest
    r"^(?:openai\.)?gpt-oss",  # with the vendor in front: Bedrock's names
    r"^codex",
    r"^deepseek-(?:reasoner|r\d)",
    r"(?<!non)(?:^|[-_.:])(?:thinking|think|reasoner|reasoning|deep-research)(?:[-_.:]|$)",
    r"^q[wv]q",  # Qwen's QwQ and QvQ
    r"^magistral",
    r"^grok-(?:3-mini|[4-9])(?!.*non-reasoning)",
    r"^glm-(?:4\.[5-9]|[5-9])",
    r"^minimax-m\d",
    r"^gemini-(?:2\.5|[3-9])",  # also through Google's OpenAI-compatible endpoint
    r"^gemini-(?:pro|flash)(?:-lite)?-latest",
    r"claude-[a-z]+-(?:[5-9]|[1-9]\d)(?!\d)",  # Claude 5 and later think unless told not to
    r"claude-mythos",
)
_THINKS = re.compile("|".join(_NAMES))


def thinks(model: str) -> bool:
    """`model` with or without the vendor in front: "o3", "openai/o3", "deepseek-ai/DeepSeek-R1"."""
    return _THINKS.search(model.lower().rpartition("/")[2]) is not None
