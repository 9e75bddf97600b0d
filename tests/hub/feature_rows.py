"""The rows of docs/translation.md: every feature, as a client of each dialect asks for it."""

from __future__ import annotations

import base64
import json

from sidecar.hub import Facts
from sidecar.hub.conversation import MediaKind
from tests.hub import cases
from tests.hub.cases import ANTHROPIC, CHAT, GEMINI, RESPONSES, Json
from tests.hub.feature_rows_form import FORM, named
from tests.hub.features import (
    PDF_URL,
    Feature,
    bare,
    behind,
    choice,
    details,
    history,
    history_of,
    kinds,
    marks,
    media,
    names,
    nothing,
    parallel,
    strict,
    table,
    texts,
    thoughts,
    tools,
    with_tools,
)

# ---- the features ----------------------------------------------------------------------------


def _late_system(d: str) -> Json | None:
    if d == GEMINI:
        return None
    late = cases._late(d) if d != ANTHROPIC else [{"role": "system", "content": "Now answer in verse."}]
    return bare(d, cases._user(d, "Moin."), cases._said(d, "Moin!"), *late, cases._user(d, "Go on."))


def _long_name(d: str) -> Json:
    said = json.dumps(_tools(d)).replace('"tide"', '"mcp__%s__tide"' % ("x" * 60))
    return dict(json.loads(said))


TWO = (("c1", "tide", {"port": "Emden"}), ("c2", "wind", {"port": "Emden", "hours": [6, 12]}))


def _parallel(d: str) -> Json:
    results = cases._answered(d, ("c1", "tide", "06:12"), ("c2", "wind", "4 Bft"))
    return history(d, *cases._called(d, *TWO, text="Let me look."), *results)


def _sequence(d: str) -> Json:
    first, second = ("c1", "tide", "06:12"), ("c2", "wind", "4 Bft")
    return history(
        d,
        *cases._called(d, TWO[0]),
        *cases._answered(d, first),
        *cases._called(d, TWO[1]),
        *cases._answered(d, second),
    )


def _failed(d: str) -> Json:
    return history(d, *cases._called(d, TWO[0]), *cases._failed(d))


def _failed_or_none(d: str) -> Json | None:
    return _failed(d) if d in {ANTHROPIC, GEMINI} else None


def _foreign(d: str) -> Json:
    return history(d, *cases._ids(d))


def _shown_result(d: str) -> Json | None:
    """A picture in a tool's result."""
    said = cases._answered(d, ("c1", "tide", "06:12"))
    if d == CHAT:
        return None
    if d == RESPONSES:
        said[0]["output"] = [{"type": "input_text", "text": "06:12"}, cases._image(d)]
    elif d == ANTHROPIC:
        said[0]["content"][0]["content"] = [{"type": "text", "text": "06:12"}, cases._image(d)]
    else:
        said[0]["parts"][0]["functionResponse"]["parts"] = [cases._image(d)]
    return history(d, *cases._called(d, TWO[0]), *said)


def _old_thoughts(d: str) -> Json:
    body = cases._thoughtful(d)
    for field_ in ("reasoning", "reasoning_effort", "thinking", "generationConfig"):
        body.pop(field_, None)
    return body


def _prefill(d: str) -> Json:
    return bare(d, cases._user(d, "Name a ship."), cases._said(d, "The ship is"))


def _empty(d: str) -> Json:
    return bare(d, cases._user(d, "Hello"), *cases._empty(d), cases._user(d, "Hello?"))


def _greeting(d: str) -> Json | None:
    greeting = cases._said(d, "Moin! Where to?")
    return None if d == ANTHROPIC else bare(d, greeting, cases._user(d, "To sea."))


def _instructions(d: str) -> Json | None:
    told = {"role": "system", "content": "Tell a joke."}
    return bare(d, told) if d in {CHAT, RESPONSES} else None


def _plain_image(d: str) -> Json:
    part = cases._image(d)
    part.pop("detail", None)
    if d == CHAT:
        part["image_url"].pop("detail")
    return bare(d, cases._user(d, "What is it?", part))


def _detail(d: str) -> Json | None:
    return bare(d, cases._user(d, "?", cases._image(d))) if d in {CHAT, RESPONSES} else None


def _document(d: str) -> Json:
    part = cases._document(d)
    part.pop("title", None)
    part.pop("filename", None)
    if d == CHAT:
        part["file"].pop("filename")
    return bare(d, cases._user(d, "Sum it up.", part))


def _titled(d: str) -> Json:
    part = cases._document(d)
    if d == GEMINI:
        part["inlineData"]["displayName"] = "log.pdf"
    return bare(d, cases._user(d, "Sum it up.", part))


def _system(d: str) -> Json:
    turns = [*cases._first(d, "Be brief."), cases._user(d, "Moin.")]
    return bare(d, *turns, **cases._system(d, "Be brief."))


def _turns(d: str) -> Json:
    return bare(d, cases._user(d, "Grüße 🦔"), cases._said(d, "Moin."), cases._user(d, "Again?"))


def _strict_tool(d: str) -> Json | None:
    made = cases._tools(d)
    for tool in made["tools"]:
        {CHAT: tool.get("function", {})}.get(d, tool)["strict"] = True
    return None if d == GEMINI else bare(d, **made)


def _named_user(d: str) -> Json | None:
    return bare(d, {**cases._user(d, "Moin."), "name": "Ada"}) if d == CHAT else None


def _refused(d: str) -> Json | None:
    said = {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}
    turns = [cases._user(d, "Moin."), said, cases._user(d, "Why?")]
    return bare(d, *turns) if d in {CHAT, RESPONSES} else None


def _marked(d: str) -> Json | None:
    marked = {"type": "text", "text": "Moin.", "cache_control": {"type": "ephemeral"}}
    return bare(d, cases._user(d, marked)) if d == ANTHROPIC else None


def _server_tool(d: str) -> Json:
    return bare(d, web_search_options={}) if d == CHAT else bare(d, **cases._server_tool(d))


def _remote(d: str) -> Json:
    return bare(d, cases._user(d, "?", cases._remote(d)))


def _tools(d: str) -> Json:
    return bare(d, **cases._tools(d))


_AUDIO = {"type": "input_audio", "input_audio": {"data": cases.WAV, "format": "wav"}}
_NOTE = base64.b64encode(b"High water at six.").decode()


def _several(d: str) -> Json | None:
    """Of three tools two may be called, and one has to be."""
    if d == ANTHROPIC:
        return None
    tools = cases._tools(d)
    held = tools["tools"] if d != GEMINI else tools["tools"][0]["functionDeclarations"]
    held.append(json.loads(json.dumps(held[0]).replace('"tide"', '"bell"')))
    called = [{"type": "function", "name": name} for name in ("tide", "wind")]
    nested = [{"type": "function", "function": {"name": name}} for name in ("tide", "wind")]
    said: dict[str, Json] = {
        CHAT: {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": nested}},
        RESPONSES: {"type": "allowed_tools", "mode": "required", "tools": called},
        GEMINI: {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["tide", "wind"]}},
    }
    return bare(d, **tools, **{"toolConfig" if d == GEMINI else "tool_choice": said[d]})


def _mode(d: str, word: str) -> Json:
    table: dict[str, Json] = {
        CHAT: {"tool_choice": word},
        RESPONSES: {"tool_choice": word},
        ANTHROPIC: {"tool_choice": {"type": {"required": "any"}.get(word, word)}},
        GEMINI: {
            "toolConfig": {"functionCallingConfig": {"mode": {"required": "ANY"}.get(word, word.upper())}}
        },
    }
    return bare(d, **cases._tools(d), **table[d])


_LATE = Facts(system_anywhere=True)

SECTIONS: dict[str, tuple[Feature, ...]] = {
    "What is said": (
        Feature("text, turn by turn", _turns, texts),
        Feature("system prompt", _system, texts),
        Feature("system message after the first turn", _late_system, texts),
        Feature("the same, to a model that takes it there", _late_system, texts, _LATE),
        Feature("empty assistant turn", _empty, texts),
        Feature("an answer begun by the client (prefill)", _prefill, texts),
        Feature("a greeting of the model before the user speaks", _greeting, texts),
        Feature("instructions and nothing else", _instructions, texts),
        Feature("name of who speaks", _named_user, names),
        Feature("image by data", _plain_image, media(MediaKind.IMAGE)),
        Feature("image by URL", _remote, media(MediaKind.IMAGE)),
        Feature("image detail", _detail, details),
        Feature("document (PDF) by data", _document, media(MediaKind.DOCUMENT)),
        Feature("document's name", _titled, media(MediaKind.DOCUMENT, "name")),
        Feature(
            "document by URL",
            behind(
                responses={"type": "input_file", "file_url": PDF_URL},
                anthropic={"type": "document", "source": {"type": "url", "url": PDF_URL}},
                gemini={"fileData": {"mimeType": "application/pdf", "fileUri": PDF_URL}},
            ),
            media(MediaKind.DOCUMENT),
        ),
        Feature(
            "text document",
            behind(
                anthropic={
                    "type": "document",
                    "source": {"type": "text", "media_type": "text/plain", "data": "High water at six."},
                },
            ),
            texts,
        ),
        Feature(
            "text document by data",
            behind(
                chat={
                    "type": "file",
                    "file": {"filename": "tide.txt", "file_data": f"data:text/plain;base64,{_NOTE}"},
                },
                responses={
                    "type": "input_file",
                    "filename": "tide.txt",
                    "file_data": f"data:text/plain;base64,{_NOTE}",
                },
                gemini={"inlineData": {"mimeType": "text/plain", "data": _NOTE}},
            ),
            texts,
        ),
        Feature(
            "audio",
            behind(chat=_AUDIO, gemini={"inlineData": {"mimeType": "audio/wav", "data": cases.WAV}}),
            media(MediaKind.AUDIO),
        ),
        Feature(
            "video",
            behind(gemini={"inlineData": {"mimeType": "video/mp4", "data": cases.WAV}}),
            media(MediaKind.VIDEO),
        ),
        Feature(
            "uploaded file",
            behind(
                chat={"type": "file", "file": {"file_id": "file-1"}},
                responses={"type": "input_file", "file_id": "file-1"},
                anthropic={"type": "document", "source": {"type": "file", "file_id": "file_1"}},
                gemini={
                    "fileData": {
                        "mimeType": "application/pdf",
                        "fileUri": "https://generativelanguage.googleapis.com/v1beta/files/1",
                    }
                },
            ),
            media(MediaKind.DOCUMENT),
        ),
        Feature(
            "cited search result",
            behind(
                anthropic={
                    "type": "search_result",
                    "source": "https://example.org",
                    "title": "Tides",
                    "content": [{"type": "text", "text": "06:12"}],
                }
            ),
            texts,
        ),
        Feature("refusal in the history", _refused, kinds),
        Feature("thoughts in the history, with their seals", _old_thoughts, thoughts),
        Feature("cache marks", _marked, marks),
    ),
    "Tools": (
        Feature("tools", _tools, tools),
        Feature("a tool's name of more than 64 characters", _long_name, tools),
        Feature("strict arguments", _strict_tool, strict),
        Feature("tool choice: auto", lambda d: _mode(d, "auto"), choice),
        Feature("tool choice: none", lambda d: _mode(d, "none"), choice),
        Feature("tool choice: required", lambda d: _mode(d, "required"), choice),
        Feature("tool choice: a named one", named, choice),
        Feature("tool choice: one of several", _several, choice),
        Feature(
            "one call at a time (parallel forbidden)",
            with_tools(
                chat={"parallel_tool_calls": False},
                responses={"parallel_tool_calls": False},
                anthropic={"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
            ),
            parallel,
        ),
        Feature("parallel calls and their results", _parallel, history_of),
        Feature("calls in sequence", _sequence, history_of),
        Feature("ids of another provider, too long or of other letters", _foreign, history_of),
        Feature("failed tool", _failed_or_none, history_of),
        Feature("image in a tool's result", _shown_result, history_of),
        Feature("tools that the provider runs", _server_tool, tools),
        Feature(
            "tools of free text",
            table(
                chat={"tools": [{"type": "custom", "custom": {"name": "free"}}]},
                responses={"tools": [{"type": "custom", "name": "free"}]},
            ),
            tools,
        ),
        Feature(
            "functions, the older form of tools",
            table(chat={"functions": [{"name": "tide", "parameters": {"type": "object", "properties": {}}}]}),
            nothing,
        ),
    ),
    **FORM,
}

FEATURES = {feature.name: feature for part in SECTIONS.values() for feature in part}


def path_of(dialect: str, feature: Feature) -> str:
    verb = "streamGenerateContent" if feature.stream else "generateContent"
    return f"/v1beta/models/of-gemini:{verb}" if dialect == GEMINI else cases.path_of(dialect)
