"""What each vendor's reference demands of a request beside what `legal` has about tools in a history."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tests.hub.cases import ANTHROPIC, CHAT, GEMINI, RESPONSES, Json
from tests.hub.legal import complaints


def wrongs(dialect: str, body: Json) -> list[str]:
    """Everything that the vendor would refuse, as far as a translation may be to blame for it."""
    check: dict[str, Callable[[Json], Iterator[str]]] = {
        CHAT: _chat,
        RESPONSES: _responses,
        ANTHROPIC: _anthropic,
        GEMINI: _gemini,
    }
    unasked = (
        {"tool_choice", "toolConfig", "parallel_tool_calls"} & body.keys() if not body.get("tools") else ()
    )
    return [*complaints(dialect, body), *check[dialect](body), *(f"{key} without tools" for key in unasked)]


def _chat(body: Json) -> Iterator[str]:
    for n, message in enumerate(body["messages"]):
        content = message.get("content")
        kinds = {part["type"] for part in content} if isinstance(content, list) else {"text"}
        if not kinds:
            yield f"{n}: no content"
        if not kinds <= {"text", "refusal"} and message["role"] != "user":
            yield f"{n}: {kinds} from the {message['role']}"
    if len(body.get("stop", ())) > 4:
        yield "more than four stop sequences"
    if body.get("response_format") == {"type": "json_object"} and "json" not in str(body["messages"]).lower():
        yield "nobody speaks of JSON"


def _responses(body: Json) -> Iterator[str]:
    for n, item in enumerate(body["input"]):
        if "content" not in item:
            continue
        words = {"output_text", "refusal"} if item["role"] == "assistant" else {"input_text"}
        seen = {"input_image", "input_file"} if item["role"] == "user" else set()
        content = item["content"]
        if isinstance(content, list) and not {part["type"] for part in content} <= words | seen:
            yield f"{n}: {content} from the {item['role']}"
        if content == []:
            yield f"{n}: no content"


def _anthropic(body: Json) -> Iterator[str]:
    for n, message in enumerate(body["messages"]):
        for block in message["content"]:
            if any(not each["text"].strip() for each in block.get("content", ()) if each["type"] == "text"):
                yield f"{n}: an empty text in a result"
    if not body.get("system", "-").strip():
        yield "an empty system prompt"
    if body["messages"][-1]["role"] == "assistant":
        yield "the model has the last word"
    thinking, temperature = body.get("thinking", {}), body.get("temperature", 1)
    if thinking.get("type") == "enabled" and not 1024 <= thinking["budget_tokens"] < body["max_tokens"]:
        yield "the budget of thinking"
    if temperature > 1 or (temperature != 1 and thinking.get("type", "disabled") != "disabled"):
        yield "the temperature"
    if not all(stop.strip() for stop in body.get("stop_sequences", ())):
        yield "an empty stop sequence"


def _gemini(body: Json) -> Iterator[str]:
    called: list[str] = []
    for n, content in enumerate(body["contents"]):
        parts = content["parts"]
        if n and content["role"] == body["contents"][n - 1]["role"]:
            yield f"{n}: {content['role']} twice"
        results = [part["functionResponse"]["name"] for part in parts if "functionResponse" in part]
        if results != called:  # by order alone, as it has no ids
            yield f"{n}: results {results} of calls {called}"
        called = [part["functionCall"]["name"] for part in parts if "functionCall" in part]
        if any(part.get("text") == "" for part in parts):
            yield f"{n}: an empty part"
    if body["contents"][-1]["role"] == "model":
        yield "the model has the last word"
    if any(not part["text"].strip() for part in body.get("systemInstruction", {"parts": ()})["parts"]):
        yield "an empty system prompt"
    if len(body.get("generationConfig", {}).get("stopSequences", ())) > 5:
        yield "more than five stop sequences"
