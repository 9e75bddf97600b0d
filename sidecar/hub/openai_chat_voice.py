"""An answer said as chunks of an OpenAI chat completion.

Thoughts go out as `reasoning_content`, the word that every server of this dialect uses which shows
any; clients do not send them back. Some providers name a reason to finish more than once, so reasons
wait for the end. Usage comes last, in a chunk without choices, for a client that asked for it or
gets the answer whole.
"""

from __future__ import annotations

from sidecar.hub.conversation import Json
from sidecar.hub.writing import encode, fitting
from sidecar.model import (
    Answering,
    Delta,
    Finish,
    FinishReason,
    Malformed,
    Media,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    Trouble,
    Usage,
)

FINISHES = {
    FinishReason.STOP: "stop",
    FinishReason.LENGTH: "length",
    FinishReason.TOOL: "tool_calls",
    FinishReason.FILTER: "content_filter",
    FinishReason.REFUSAL: "content_filter",
    FinishReason.CONTEXT_FULL: "length",
    FinishReason.ERROR: "error",  # not OpenAI's, but of many who speak this; never a polite stop
}


class ChatVoice:
    """Implements base.Voice."""

    def __init__(self, *, ident: str, created: int, model: str, usage: bool) -> None:
        self._top: dict[str, Json] = {
            "id": f"chatcmpl-{ident}", "object": "chat.completion.chunk", "created": created, "model": model,
        }  # fmt: skip
        self._wants_usage = usage
        self._usage: Usage | None = None
        self._reasons: dict[int, FinishReason] = {}
        self._opened: set[int] = set()  # choices that have their role
        self._calls: dict[tuple[int, int], int] = {}  # (choice, the target's index) -> ours
        self._losses: dict[str, None] = {}

    @property
    def losses(self) -> tuple[str, ...]:
        return tuple(self._losses)

    def say(self, deltas: tuple[Delta, ...]) -> bytes:
        said = []
        for delta in deltas:
            match delta:
                case Answering(model):
                    self._top["model"] = model
                case Text(text, choice):
                    if text:
                        said.append(self._delta(choice, {"content": text}))
                case Reasoning(text, choice):
                    if text:
                        said.append(self._delta(choice, {"reasoning_content": text}))
                case Refusal(text, choice):
                    if text:
                        said.append(self._delta(choice, {"refusal": text}))
                case ToolCall():
                    said.append(self._delta(delta.choice, {"tool_calls": [self._call(delta)]}))
                case Finish(reason, choice):
                    self._reasons[choice] = reason
                case Usage():
                    self._usage = delta
                case Media():
                    self._losses["media"] = None
                case Trouble() | Malformed():
                    pass  # an error is the caller's to say
        return b"".join(said)

    def end(self) -> bytes:
        reasons = self._reasons or {0: FinishReason.STOP}
        said = b"".join(
            self._delta(choice, {}, FINISHES[reason]) for choice, reason in sorted(reasons.items())
        )
        if self._wants_usage and self._usage is not None:
            said += _event({**self._top, "choices": [], "usage": usage_of(self._usage)})
        return said + b"data: [DONE]\n\n"

    def _delta(self, choice: int, delta: dict[str, Json], finish: str | None = None) -> bytes:
        if choice not in self._opened:
            self._opened.add(choice)
            delta = {"role": "assistant", **({"content": ""} if "content" not in delta else {}), **delta}
        said = {"index": choice, "delta": delta, "finish_reason": finish}
        return _event({**self._top, "choices": [said]})

    def _call(self, delta: ToolCall) -> dict[str, Json]:
        key = (delta.choice, delta.index)
        known = self._calls.get(key)
        if known is None:
            known = self._calls[key] = sum(1 for choice, _ in self._calls if choice == delta.choice)
            function = {"name": delta.name, "arguments": delta.arguments}
            made = f"call_{str(self._top['id'])[-16:]}_{delta.choice}_{known}"
            ident = fitting(delta.id) if delta.id else made
            return {"index": known, "id": ident, "type": "function", "function": function}
        return {"index": known, "function": {"arguments": delta.arguments}}


def usage_of(usage: Usage) -> dict[str, Json]:
    """OpenAI's words for it; what the provider did not say is 0, as its clients expect a number."""
    read, thought = usage.cache_read, usage.reasoning
    given, made = usage.input_total or 0, usage.output_total or 0
    said: dict[str, Json] = {"prompt_tokens": given, "completion_tokens": made, "total_tokens": given + made}
    if read is not None or usage.cache_write is not None:
        said["prompt_tokens_details"] = {"cached_tokens": read or 0}
        if usage.cache_write is not None:
            said["prompt_tokens_details"]["cache_write_tokens"] = usage.cache_write
    if thought is not None:
        said["completion_tokens_details"] = {"reasoning_tokens": thought}
    return said


def _event(chunk: dict[str, Json]) -> bytes:
    return b"data: " + encode(chunk) + b"\n\n"
