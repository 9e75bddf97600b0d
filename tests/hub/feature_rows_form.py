"""The rows of docs/translation.md on the answer's form, on sampling, and on what stands beside it."""

from __future__ import annotations

import json

from sidecar.hub import Facts
from tests.hub import cases
from tests.hub.cases import ANTHROPIC, CHAT, GEMINI, RESPONSES, Json
from tests.hub.features import (
    Feature,
    Said,
    bare,
    config,
    effort,
    form,
    nothing,
    sampled,
    streams,
    table,
    thinking,
    thinks,
    user,
)


def named(d: str) -> Json:
    forced = cases._named(d)
    if d == ANTHROPIC:
        forced["tool_choice"].pop("disable_parallel_tool_use")
    return bare(d, **cases._tools(d), **forced)


def _schema_forced(d: str) -> Json:
    return {**named(d), **cases._schema(d)}


def _json_mode(d: str) -> Json | None:
    body = None if d == ANTHROPIC else bare(d, **cases._json_mode(d))
    if d == RESPONSES and body is not None:
        body["text"].pop("verbosity", None)
    return body


def _schema(d: str) -> Json:
    return bare(d, **cases._schema(d))


def _limited(d: str) -> Json:
    """The schema with a limit on a value."""
    said: Json = json.loads(json.dumps(_schema(d)).replace('"integer"}', '"integer", "minimum": 1}'))
    return said


def _schema_tools(d: str) -> Json:
    return bare(d, **cases._schema(d), **cases._tools(d))


def _stream(d: str) -> Json:
    return bare(d) if d == GEMINI else bare(d, stream=True)


def _held(d: str) -> Json | None:
    return None if d == CHAT else bare(d, **cases._held(d))


def _effort(word: str) -> Said:
    return table(
        chat={"reasoning_effort": word},
        responses={"reasoning": {"effort": word}},
        anthropic={"thinking": {"type": "adaptive"}, "output_config": {"effort": word}, "max_tokens": 40000},
        gemini=config(thinkingConfig={"thinkingLevel": word}),
    )


_LOGPROBS: Json = {"chat": {"logprobs": True, "top_logprobs": 2}, "responses": {"top_logprobs": 2},
                   "gemini": config(responseLogprobs=True, logprobs=2)}  # fmt: skip
_LIST = config(
    responseMimeType="application/json", responseJsonSchema={"type": "array", "items": {"type": "string"}}
)
_ABLE = Facts(schema=True)
_THINKER = Facts(thinking=True, adaptive_thinking=True, max_output=64000)

FORM: dict[str, tuple[Feature, ...]] = {
    "The form of the answer": (
        Feature("JSON mode", _json_mode, form),
        Feature("JSON schema", _schema, form),
        Feature("the same, to a model that is known to take one", _schema, form, _ABLE),
        Feature("schema with limits, to a model that is known to take one", _limited, form, _ABLE),
        Feature("schema whose root is a list", table(gemini=_LIST), form),
        Feature("schema and tools", _schema_tools, form),
        Feature("schema and a forced tool", _schema_forced, form),
        Feature(
            "stop sequences",
            table(
                chat={"stop": ["a", "b"]},
                anthropic={"stop_sequences": ["a", "b"]},
                gemini=config(stopSequences=["a", "b"]),
            ),
            sampled("stop"),
        ),
        Feature(
            "five stop sequences",
            table(
                anthropic={"stop_sequences": [*"abcde"]},
                gemini=config(stopSequences=[*"abcde"]),
            ),
            sampled("stop"),
        ),
        Feature(
            "limit of the output",
            table(
                chat={"max_completion_tokens": 99},
                responses={"max_output_tokens": 99},
                anthropic={"max_tokens": 99},
                gemini=config(maxOutputTokens=99),
            ),
            sampled("max_output"),
        ),
        Feature(
            "several answers (n)", table(chat={"n": 2}, gemini=config(candidateCount=2)), sampled("choices")
        ),
        Feature("log probabilities", table(**_LOGPROBS), nothing),
        Feature(
            "an answer that is heard or seen",
            table(
                chat={"modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": "wav"}},
                gemini=config(responseModalities=["AUDIO"]),
            ),
            nothing,
        ),
        Feature(
            "verbosity", table(chat={"verbosity": "low"}, responses={"text": {"verbosity": "low"}}), nothing
        ),
        Feature("stream", _stream, streams, stream=True),
    ),
    "Sampling and thinking": (
        Feature(
            "temperature",
            table(
                chat={"temperature": 0.5},
                responses={"temperature": 0.5},
                anthropic={"temperature": 0.5},
                gemini=config(temperature=0.5),
            ),
            sampled("temperature"),
        ),
        Feature(
            "temperature above 1",
            table(
                chat={"temperature": 1.5},
                responses={"temperature": 1.5},
                gemini=config(temperature=1.5),
            ),
            sampled("temperature"),
        ),
        Feature(
            "top_p",
            table(
                chat={"top_p": 0.9},
                responses={"top_p": 0.9},
                anthropic={"top_p": 0.9},
                gemini=config(topP=0.9),
            ),
            sampled("top_p"),
        ),
        Feature(
            "temperature and top_p",
            table(
                chat={"temperature": 0.5, "top_p": 0.9},
                responses={"temperature": 0.5, "top_p": 0.9},
                anthropic={"temperature": 0.5, "top_p": 0.9},
                gemini=config(temperature=0.5, topP=0.9),
            ),
            lambda asked: (sampled("temperature")(asked), sampled("top_p")(asked)),
        ),
        Feature("top_k", table(anthropic={"top_k": 40}, gemini=config(topK=40)), sampled("top_k")),
        Feature(
            "presence penalty",
            table(chat={"presence_penalty": 0.5}, gemini=config(presencePenalty=0.5)),
            sampled("presence_penalty"),
        ),
        Feature(
            "frequency penalty",
            table(chat={"frequency_penalty": 0.5}, gemini=config(frequencyPenalty=0.5)),
            sampled("frequency_penalty"),
        ),
        Feature("seed", table(chat={"seed": 7}, gemini=config(seed=7)), sampled("seed")),
        Feature("logit_bias", table(chat={"logit_bias": {"50256": -100}}), nothing),
        Feature("reasoning effort: low", _effort("low"), thinking),
        Feature("reasoning effort: high", _effort("high"), thinking),
        Feature("the same, to a model that takes efforts", _effort("high"), effort, _THINKER),
        Feature(
            "no reasoning, of a model that reasons",
            table(
                chat={"reasoning_effort": "none"},
                responses={"reasoning": {"effort": "none"}},
                anthropic={"thinking": {"type": "disabled"}},
                gemini=config(thinkingConfig={"thinkingBudget": 0}),
            ),
            thinks,
            Facts(thinking=True),
        ),
        Feature(
            "reasoning budget",
            table(
                anthropic={"thinking": {"type": "enabled", "budget_tokens": 5000}, "max_tokens": 9000},
                gemini=config(thinkingConfig={"thinkingBudget": 5000}, maxOutputTokens=9000),
            ),
            thinking,
        ),
    ),
    "Beside the conversation": (
        Feature(
            "the client's user",
            table(
                chat={"user": "u-1"},
                responses={"user": "u-1"},
                anthropic={"metadata": {"user_id": "u-1"}},
            ),
            user,
        ),
        Feature(
            "metadata",
            table(chat={"metadata": {"ticket": "T-1"}}, responses={"metadata": {"ticket": "T-1"}}),
            nothing,
        ),
        Feature(
            "service tier",
            table(
                chat={"service_tier": "flex"},
                responses={"service_tier": "flex"},
                anthropic={"service_tier": "standard_only"},
            ),
            nothing,
        ),
        Feature(
            "safety settings",
            table(
                gemini={
                    "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}]
                }
            ),
            nothing,
        ),
        Feature(
            "predicted output",
            table(chat={"prediction": {"type": "content", "content": "The ship"}}),
            nothing,
        ),
        Feature(
            "answers kept by the provider (store)",
            table(chat={"store": True}, responses={"store": True}),
            nothing,
        ),
        Feature("state held by the provider", _held, nothing),
        Feature(
            "remote MCP servers",
            table(anthropic={"mcp_servers": [{"type": "url", "url": "https://example.org", "name": "x"}]}),
            nothing,
        ),
    ),
}
