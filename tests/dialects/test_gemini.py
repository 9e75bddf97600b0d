# ruff: noqa: E501  # a case of a table is one line
from __future__ import annotations

import json
from typing import Any

import pytest

from sidecar.dialects.base import BadBody
from sidecar.model import (
    Answering,
    Ask,
    Delta,
    Fault,
    Finish,
    FinishReason,
    Malformed,
    Media,
    Operation,
    Reasoning,
    Text,
    ToolCall,
    Trouble,
    Usage,
)
from tests.dialects.samples import (
    GEMINI,
    GEMINI_ROUGH,
    GEMINI_TEXT,
    GEMINI_TOOLS,
    ask,
    body_reader_of,
    data,
    reader_of,
    run,
    said,
    whole,
)

PATH = "/v1beta/models/m:generateContent"
STREAM = "/v1beta/models/m:streamGenerateContent"
EMBED = "/v1beta/models/m:embedContent"
BATCH = "/v1beta/models/m:batchEmbedContents"


def asked(path: str = PATH, **fields: Any) -> Ask:
    return GEMINI.ask(Operation.CHAT, path, json.dumps(fields).encode())


# ---- paths --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "model", "canonical"),
    [
        ("/models/m:generateContent", "m", "/models/m:generateContent"),
        ("/v1beta/models/gemini-2.5-flash:generateContent", "gemini-2.5-flash", "/models/gemini-2.5-flash:generateContent"),
        ("/v1/models/m:streamGenerateContent", "m", "/models/m:streamGenerateContent"),
        ("/v1beta/models/m%3AgenerateContent", "m", "/models/m%3AgenerateContent"),
        ("/v1beta/models/a%40b:generateContent", "a@b", "/models/a%40b:generateContent"),
        ("/v1beta/models/llama3:8b:generateContent", "llama3:8b", "/models/llama3:8b:generateContent"),
        ("/v1beta/tunedModels/mine:generateContent", "tunedModels/mine", "/tunedModels/mine:generateContent"),
        ("/v1/projects/p/locations/l/publishers/google/models/m:generateContent", "m", "/models/m:generateContent"),
        ("/v1beta1/projects/p/locations/l/endpoints/7:generateContent", "endpoints/7", "/endpoints/7:generateContent"),
    ],
)  # fmt: skip
def test_the_path_names_operation_and_model(path: str, model: str, canonical: str) -> None:
    assert Operation.CHAT is GEMINI.operation("POST", path)
    assert canonical == GEMINI.canonical(Operation.CHAT, path)
    assert (model, "stream" in path) == (asked(path).model, asked(path).stream)


@pytest.mark.parametrize("path", [EMBED, BATCH, "/models/m%3aembedContent"])
def test_embeddings_are_an_operation_of_their_own(path: str) -> None:
    assert Operation.EMBEDDINGS is GEMINI.operation("POST", path)
    assert Ask(operation=Operation.EMBEDDINGS, model="m") == GEMINI.ask(Operation.EMBEDDINGS, path, b"{}")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1beta/models/m"),
        ("GET", PATH),
        ("POST", "/v1beta/models/m:countTokens"),
        ("POST", "/v1beta/models/m:predict"),
        ("POST", "/v1beta/models/m:batchGenerateContent"),
        ("POST", "/v1beta/models/m:asyncBatchEmbedContent"),
        ("POST", "/v1beta/cachedContents"),
        ("POST", "/v1beta/models/:generateContent"),
        ("POST", "/v1beta/models/a/b:generateContent"),
        ("POST", "/v1/projects/p/locations/l/publishers/anthropic/models/m:rawPredict"),
    ],
)
def test_everything_else_is_passed_through(method: str, path: str) -> None:
    assert GEMINI.operation(method, path) is None


# ---- what is asked ------------------------------------------------------------------------

OBJECT = {"type": "object"}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"contents": [{"parts": [{"text": "hi"}]}]}, {}),
        ({"generationConfig": {"maxOutputTokens": 9, "candidateCount": 2}}, {"max_output": 9, "choices": 2}),
        ({"generation_config": {"max_output_tokens": 9, "candidate_count": 2}}, {"max_output": 9, "choices": 2}),
        ({"generationConfig": {"responseMimeType": "application/json"}}, {"json": True}),
        ({"generationConfig": {"responseMimeType": "text/x.enum", "responseSchema": {"type": "STRING"}}}, {}),
        ({"generationConfig": {"response_mime_type": "application/json", "response_json_schema": OBJECT}}, {"json": True, "schema": b'{"type":"object"}'}),
        ({"generationConfig": {"responseMimeType": "application/json", "responseJsonSchema": OBJECT}}, {"json": True, "schema": b'{"type":"object"}'}),
        ({"generationConfig": {"responseMimeType": "application/json", "responseSchema": {"type": "OBJECT"}}}, {"json": True, "schema": b'{"type":"object"}'}),
        (
            {"tools": [{"functionDeclarations": [{"name": "tide"}]}, {"function_declarations": [{"name": "now"}, {}]}, {"googleSearch": {}}]},
            {"tools": frozenset({"tide", "now"})},
        ),
        ({"tools": {"functionDeclarations": [{"name": "tide"}]}}, {"tools": frozenset({"tide"})}),
        ({"generationConfig": {"thinkingConfig": {"thinkingBudget": 512}}}, {"reasoning": True}),
        ({"generationConfig": {"thinking_config": {"thinking_budget": -1}}}, {"reasoning": True}),
        ({"generationConfig": {"thinkingConfig": {"thinkingBudget": 0, "includeThoughts": True}}}, {}),
        ({"generationConfig": {"thinkingConfig": {"thinkingLevel": "LOW"}}}, {"reasoning": True}),
        ({"generationConfig": {"thinkingConfig": {"thinkingLevel": "MINIMAL"}}}, {}),
        ({"generationConfig": {"thinkingConfig": {"includeThoughts": True}}}, {"reasoning": True}),
        ({"generationConfig": {"thinkingConfig": "yes", "maxOutputTokens": "9", "candidateCount": True}}, {}),
        ({"generationConfig": [1], "tools": [3, {"functionDeclarations": "x"}, {"functionDeclarations": [7, {"name": 1}]}]}, {}),
    ],
)  # fmt: skip
def test_what_policy_has_to_know_is_read(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    assert Ask(operation=Operation.CHAT, model="m", **expected) == asked(**fields)


@pytest.mark.parametrize(
    ("model", "thinks"),
    [
        ("gemini-2.5-pro", True), ("gemini-2.5-flash", True), ("gemini-3-flash-preview", True), ("gemini-flash-latest", True),
        ("gemini-2.0-flash", False), ("gemini-1.5-pro", False), ("gemini-2.0-flash-thinking-exp", True),
    ],
)  # fmt: skip
def test_some_models_think_unless_told_not_to(model: str, thinks: bool) -> None:
    path = f"/v1beta/models/{model}:generateContent"

    assert thinks is asked(path).reasoning
    assert not asked(path, generationConfig={"thinkingConfig": {"thinkingBudget": 0}}).reasoning


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'"x"', b"[" * 3000])
def test_what_is_no_request_is_refused_with_its_reason(body: bytes) -> None:
    with pytest.raises(BadBody, match=r"valid JSON|JSON object|nested"):
        GEMINI.ask(Operation.CHAT, PATH, body)


SCHEMAS: list[tuple[dict[str, Any], Any]] = [
    ({"type": "STRING", "format": "date-time", "description": "d", "title": "t"}, {"type": "string"}),
    ({"type": "string", "enum": ["a", "b"]}, {"type": "string", "enum": ["a", "b"]}),
    ({"type": "INTEGER", "minimum": 1, "maximum": 5}, {"type": "integer", "minimum": 1, "maximum": 5}),
    ({"type": "NUMBER", "nullable": True}, {"anyOf": [{"type": "number"}, {"type": "null"}]}),
    ({"type": "BOOLEAN", "nullable": False}, {"type": "boolean"}),
    ({"type": "TYPE_UNSPECIFIED"}, {}),
    ({"type": "ARRAY", "items": {"type": "STRING"}, "min_items": "2"}, {"type": "array", "items": {"type": "string"}, "minItems": 2}),
    (
        {"type": "OBJECT", "properties": {"some_name": {"type": "STRING"}}, "required": ["some_name"], "property_ordering": ["some_name"]},
        {"type": "object", "properties": {"some_name": {"type": "string"}}, "required": ["some_name"]},
    ),
    ({"anyOf": [{"type": "STRING"}, {"type": "NULL"}]}, {"anyOf": [{"type": "string"}, {"type": "null"}]}),
    ({"type": "OBJECT", "properties": {"a": {"$ref": "#/defs/x"}}}, None),
    ({"type": "TUPLE"}, None),
    ({"type": "ARRAY", "items": [1]}, None),
    ({"type": "ARRAY", "minItems": "two"}, None),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "expected"), SCHEMAS)
def test_googles_schema_becomes_a_json_schema_or_none(schema: dict[str, Any], expected: Any) -> None:
    config = {"responseMimeType": "application/json", "responseSchema": schema}

    found = asked(generationConfig=config).schema

    assert expected == (None if found is None else json.loads(found))


@pytest.mark.parametrize(
    ("path", "model", "changed"),
    [
        (PATH, "n", "/v1beta/models/n:generateContent"),
        (PATH, "models/n", "/v1beta/models/n:generateContent"),
        (PATH, "tunedModels/n", "/v1beta/tunedModels/n:generateContent"),
        ("/models/m%3AgenerateContent", "a/../b?c", "/models/b%3Fc%3AgenerateContent"),
        ("/v1/publishers/google/models/m:streamGenerateContent", "a b@1", "/v1/publishers/google/models/a%20b%401:streamGenerateContent"),
    ],
)  # fmt: skip
def test_another_model_changes_only_its_segment_of_the_path(path: str, model: str, changed: str) -> None:
    body = b'{"model":"m", "contents" : []}'

    assert (changed, body) == GEMINI.with_model(path, body, model)


def test_embeddings_name_their_model_in_the_body_too() -> None:
    one = b'{"model": "models/m", "content": {"parts": [{"text": "models/m"}]}}'
    request = b'{"model":"models/m" ,"content":{"parts":[{"text":"[{\\"model\\""}]}}'
    batch = b'{ "requests": [' + request + b" , " + request + b'], "x": {"model": 1} }'

    assert GEMINI.with_model(EMBED, one, "n")[1] == one.replace(b'"models/m",', b'"models/n",')
    assert GEMINI.with_model(BATCH, batch, "n")[1] == batch.replace(b'"models/m"', b'"models/n"')


# ---- what is answered ---------------------------------------------------------------------

TEXT_DELTAS = [
    Answering("gemini-x"),
    Reasoning("Hm, a hedgehog."),
    Usage(input_total=11),
    Text("Grüße 🦔"),
    Text(' é\n\n{["]}'),
    Finish(FinishReason.STOP),
    Usage(11, 12, cache_read=4, reasoning=5),
]


def test_a_stream_of_thought_and_text() -> None:
    reader = reader_of("gemini")

    raw, deltas = run(reader, [GEMINI_TEXT])

    in_order = [TEXT_DELTAS[0], TEXT_DELTAS[1], *TEXT_DELTAS[2:]]
    assert in_order == deltas
    assert GEMINI_TEXT == raw
    assert reader.finished
    assert not reader.done


def test_a_stream_of_calls() -> None:
    assert [
        Answering("gemini-x"),
        ToolCall(0, "", "tide", '{"port":"Emden"}'),
        ToolCall(1, "f2", "now", "{}"),
        Finish(FinishReason.TOOL),
        Usage(7, 9),
    ] == said("gemini", GEMINI_TOOLS)


def test_a_rough_stream_is_read_around_its_damage() -> None:
    reader = reader_of("gemini", choices=2)

    _, deltas = run(reader, [GEMINI_ROUGH])

    assert [
        Malformed("event 1"),
        Text("a"),
        Media("image"),
        Finish(FinishReason.LENGTH, 1),
        Usage(input_total=3),
        Trouble(503, b'{"error":{"code":503,"message":"The model is overloaded.","status":"UNAVAILABLE"}}'),
    ] == deltas
    assert not reader.finished


def parts(*parts: dict[str, Any], **more: Any) -> bytes:
    return data(json.dumps({"candidates": [{"content": {"parts": parts}, **more}]}))


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ({"text": "a"}, [Text("a")]),
        ({"text": "a", "thought": True}, [Reasoning("a")]),
        ({"text": "", "thought": True}, []),
        ({"thoughtSignature": "x"}, []),
        ({"text": ["a"]}, []),
        ({"functionCall": {"name": "f", "args": {"a": [1, None]}}}, [ToolCall(0, "", "f", '{"a":[1,null]}')]),
        ({"function_call": {"id": "1", "name": "f", "args": None}}, [ToolCall(0, "1", "f", "{}")]),
        ({"functionCall": {"name": "f", "willContinue": True, "partialArgs": [{"jsonPath": "$.a"}]}}, [ToolCall(0, "", "f")]),
        ({"functionCall": {"partialArgs": [{"jsonPath": "$.a", "stringValue": "x"}]}}, [Media("function_call")]),
        ({"functionCall": {}}, []),
        ({"inlineData": {"mimeType": "image/png", "data": "AA=="}}, [Media("image")]),
        ({"inline_data": {"mime_type": "audio/wav"}}, [Media("audio")]),
        ({"inlineData": {}}, [Media("file")]),
        ({"fileData": {"fileUri": "x"}}, [Media("file")]),
        ({"executableCode": {"code": "1"}}, [Media("executable_code")]),
        ({"code_execution_result": {"output": "1"}}, [Media("code_execution_result")]),
        ({"something": "new"}, []),
    ],
)  # fmt: skip
def test_what_is_content_and_what_is_not(part: dict[str, Any], expected: list[Delta]) -> None:
    assert expected == said("gemini", parts(part))
    assert [*expected] == said("gemini", parts({"text": ""}, part))


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("STOP", FinishReason.STOP), ("MAX_TOKENS", FinishReason.LENGTH), ("SAFETY", FinishReason.FILTER),
        ("RECITATION", FinishReason.FILTER), ("BLOCKLIST", FinishReason.FILTER), ("PROHIBITED_CONTENT", FinishReason.FILTER),
        ("SPII", FinishReason.FILTER), ("IMAGE_SAFETY", FinishReason.FILTER), ("LANGUAGE", FinishReason.FILTER),
        ("OTHER", FinishReason.ERROR), ("NO_IMAGE", FinishReason.ERROR), ("something new", FinishReason.STOP),
        (1, FinishReason.STOP), (2, FinishReason.LENGTH), (3, FinishReason.FILTER),
    ],
)  # fmt: skip
def test_the_words_for_an_end(word: str | int, reason: FinishReason) -> None:
    reader = reader_of("gemini")

    assert (Text("a"), Finish(reason)) == reader.feed(parts({"text": "a"}, finishReason=word)).deltas
    assert reader.finished
    assert not reader.done


@pytest.mark.parametrize("word", ["", "FINISH_REASON_UNSPECIFIED", 0, None, [1]])
def test_what_is_no_word_for_an_end(word: Any) -> None:
    reader = reader_of("gemini")

    assert [Text("a")] == run(reader, [parts({"text": "a"}, finishReason=word)])[1]
    assert not reader.finished


@pytest.mark.parametrize("word", ["MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL"])
def test_a_call_that_could_not_be_formed_is_a_call_nobody_can_parse(word: str) -> None:
    stream = data(
        json.dumps({"candidates": [{"content": {}, "finishReason": word, "finishMessage": '{"a": 1}'}]})
    )

    expected = [ToolCall(0, arguments=word + ': {"a": 1}'), Finish(FinishReason.ERROR)]
    assert expected == said("gemini", stream)
    assert expected == said("gemini", stream * 2)
    assert expected == whole("gemini", stream.strip().removeprefix(b"data: "))


@pytest.mark.parametrize(
    "event", ['{"promptFeedback":{"blockReason":"SAFETY"}}', '{"prompt_feedback":{"block_reason":4},"candidates":[]}']
)  # fmt: skip
def test_a_blocked_prompt_is_a_decided_answer(event: str) -> None:
    reader = reader_of("gemini")

    assert [Finish(FinishReason.FILTER)] == run(reader, [data(event)])[1]
    assert reader.finished
    assert [Finish(FinishReason.FILTER)] == whole("gemini", event.encode())
    assert [] == said("gemini", data('{"promptFeedback":{"safetyRatings":[]}}'))


def test_a_stream_that_says_stop_all_the_way_ends_only_with_its_bytes() -> None:
    """Older models put a finish reason on every chunk."""
    reader = reader_of("gemini")
    chunk = parts({"text": "a"}, finishReason="STOP")

    assert (Text("a"), Finish(FinishReason.STOP)) == reader.feed(chunk).deltas
    assert reader.finished  # it may be the last one
    assert (Text("a"), Finish(FinishReason.STOP)) == reader.feed(chunk).deltas
    assert not reader.finished
    reader.close()
    assert reader.finished


def test_a_stop_before_the_first_word_is_no_end_yet() -> None:
    """Translating gateways do so while the model thinks."""
    reader = reader_of("gemini")

    reader.feed(parts(finishReason="STOP"))
    assert not reader.finished
    reader.feed(parts({"text": "a"}))
    reader.close()
    assert not reader.finished  # it was cut: the last words had no reason beside them


def test_an_empty_answer_ends_with_its_bytes() -> None:
    reader = reader_of("gemini")

    assert [Finish(FinishReason.STOP)] == run(reader, [parts(finishReason="STOP")])[1]
    assert reader.finished


def test_a_stream_waits_for_every_candidate_that_was_asked_for() -> None:
    reader = reader_of("gemini", choices=2)

    reader.feed(parts({"text": "a"}, finishReason="STOP"))
    assert not reader.finished
    reader.feed(parts({"text": "b"}, index=1, finishReason="STOP"))
    assert reader.finished


def test_a_stream_with_fewer_candidates_than_asked_ends_with_its_bytes() -> None:
    reader = reader_of("gemini", choices=2)

    run(reader, [parts({"text": "a"}, finishReason="STOP")])

    assert reader.finished


def test_a_sentinel_of_a_gateway_ends_the_stream() -> None:
    reader = reader_of("gemini")

    run(reader, [parts({"text": "a"}, finishReason="STOP"), data("[DONE]"), parts({"text": "late"})])

    assert reader.done


ERROR = b'{\n  "error": {\n    "code": 429,\n    "status": "RESOURCE_EXHAUSTED"\n  }\n}'


@pytest.mark.parametrize("after", [b"", b"\n", b"\r\n", b"\n\n", b"\n\n\n", b"\n\n: later\n\n"])
@pytest.mark.parametrize("size", [1, 3, 50, 1000])
def test_an_error_that_is_no_event_is_seen_as_soon_as_it_is_whole(after: bytes, size: int) -> None:
    before = parts({"text": "a"}).replace(b"\n", b"\r\n")
    stream = before + ERROR + after
    reader = reader_of("gemini")

    pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
    chunks = [reader.feed(piece) for piece in pieces]

    assert [Text("a"), Trouble(429, ERROR)] == [delta for chunk in chunks for delta in chunk.deltas]
    raw = b"".join(chunk.raw for chunk in chunks) + reader.close().raw
    assert stream == raw
    assert not reader.finished


def test_bare_json_that_is_no_error_says_nothing() -> None:
    assert [Text("a")] == said("gemini", parts({"text": "a"}) + b'{"candidates": []}\n\n{"error": null}')


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ({"code": 429, "status": "RESOURCE_EXHAUSTED"}, 429),
        ({"code": 503}, 503),
        ({"status": "UNAVAILABLE"}, 503),
        ({"status": "INVALID_ARGUMENT"}, 400),
        ({"status": "DEADLINE_EXCEEDED"}, 504),
        ({"code": 14, "status": "something new"}, 0),
        ("odd", 0),
    ],
)
def test_an_error_inside_a_200_names_its_status(error: Any, status: int) -> None:
    body = json.dumps({"error": error}).encode()

    assert [Trouble(status, body)] == said("gemini", b"data: " + body + b"\n\n")
    assert [Trouble(status, body)] == whole("gemini", body)
    assert [Trouble(status, body)] == array(b"[" + body + b"]")[1]
    assert [Trouble(status, body)] == array(body)[1]


def test_a_whole_answer() -> None:
    answer = {
        "candidates": [
            {"content": {"parts": [{"text": "hm", "thought": True}, {"text": "a"}]}, "finishReason": "STOP"},
            {"content": {"parts": [{"functionCall": {"name": "f"}}]}, "index": 1},
        ],
        "modelVersion": "gemini-x",
        "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": -1, "thoughtsTokenCount": 4},
    }
    body = json.dumps(answer, indent=2).encode()
    reader = body_reader_of("gemini", choices=2)

    assert (
        body,
        [
            Answering("gemini-x"),
            Reasoning("hm"),
            Text("a"),
            Finish(FinishReason.STOP),
            ToolCall(0, "", "f", "{}", 1),
            Usage(3, 4, reasoning=4),
            Finish(FinishReason.TOOL, 1),
        ],
    ) == run(reader, [body[:50], body[50:]])
    assert reader.done
    assert reader.finished


@pytest.mark.parametrize(
    ("body", "expected", "done"),
    [
        (b'{"candidates":[]}', [], True),
        (b'{"usageMetadata":{"promptTokenCount":1},"modelVersion":"m"}', [Answering("m"), Usage(1)], True),
        (b'{"candidates":[{"content":{}}]}', [Finish(FinishReason.STOP)], True),
        (b"{}", [], False),
        (b'{"candidates":[', [Malformed("body")], False),
        (b"<html>", [Malformed("body")], False),
    ],
)
def test_whether_a_body_is_a_whole_answer(body: bytes, expected: list[Delta], done: bool) -> None:
    reader = body_reader_of("gemini")

    assert (body, expected) == run(reader, [body])
    assert done is reader.done


@pytest.mark.parametrize(
    ("body", "expected", "done"),
    [
        (b'{"embedding":{"values":[0.5]}}', [Media("embedding"), Finish(FinishReason.STOP)], True),
        (
            b'{"embeddings":[{"values":[0.5]},{}],"usageMetadata":{"promptTokenCount":4}}',
            [Usage(4), Media("embedding"), Finish(FinishReason.STOP)],
            True,
        ),
        (b'{"embeddings":[]}', [Finish(FinishReason.STOP)], True),
        (b"{}", [], False),
        (b'{"error":{"code":429}}', [Trouble(429, b'{"error":{"code":429}}')], False),
        (b"[]", [Malformed("body")], False),
    ],
)
def test_vectors_are_counted(body: bytes, expected: list[Delta], done: bool) -> None:
    reader = GEMINI.reader(Ask(operation=Operation.EMBEDDINGS, model="m"), b"application/json")

    assert (body, expected) == run(reader, [body])
    assert (done, done) == (reader.done, reader.finished)


# ---- the answer as a JSON array -----------------------------------------------------------


def array(body: bytes, size: int = 0) -> tuple[bytes, list[Delta], bool, bool]:
    reader = GEMINI.reader(ask(), b"application/json; charset=UTF-8")
    pieces = [body[at : at + size] for at in range(0, len(body), size)] if size else [body]
    raw, deltas = run(reader, pieces)
    return raw, deltas, reader.done, reader.finished


def arrayed(stream: bytes, comma: bytes = b"\r\n,\n") -> bytes:
    events = stream.strip().split(b"\n\n")
    return b"[" + comma.join(event.removeprefix(b"data: ") for event in events) + b"\n]\n"


@pytest.mark.parametrize("stream", [GEMINI_TEXT, GEMINI_TOOLS], ids=["text", "tools"])
def test_an_array_says_what_its_events_would(stream: bytes) -> None:
    assert (arrayed(stream), said("gemini", stream), True, True) == array(arrayed(stream))


@pytest.mark.parametrize("size", range(1, 40))
def test_an_array_may_be_cut_anywhere(size: int) -> None:
    for stream in (GEMINI_TEXT, GEMINI_TOOLS):
        body = arrayed(stream).replace(b'{"', b'{\n  "')

        assert array(body) == array(body, size)


def test_an_array_gives_each_object_out_when_it_is_whole() -> None:
    reader = GEMINI.reader(ask(), b"application/json")
    first, second = (event.removeprefix(b"data: ") for event in GEMINI_TOOLS.strip().split(b"\n\n"))

    begun = reader.feed(b"[" + first[:-1])
    whole = reader.feed(first[-1:] + b"\r\n," + second[:20])
    last = reader.feed(second[20:])

    assert () == begun.deltas
    assert begun.raw + whole.raw == b"[" + first
    assert whole.deltas[1] == ToolCall(0, "", "tide", '{"port":"Emden"}')
    assert last.raw == b"\r\n," + second
    assert not reader.finished  # nobody can parse it without its end
    assert not reader.done
    assert b"]" == reader.feed(b"]").raw
    assert reader.done
    assert b"tail" == reader.feed(b"tail").raw


@pytest.mark.parametrize("cut", range(0, 1100, 37))
def test_a_cut_array_is_passed_whole_and_never_done(cut: int) -> None:
    body = arrayed(GEMINI_TEXT)[:-2][:cut]

    raw, deltas, done, _ = array(body)

    assert body == raw
    assert not done
    assert Malformed("body") == deltas[-1]
    assert deltas[:-1] == said("gemini", GEMINI_TEXT)[: len(deltas) - 1]


@pytest.mark.parametrize(
    ("body", "expected", "done"),
    [
        (b"[]", [], True),
        (b" [ ] ", [], True),
        (b"", [Malformed("body")], False),
        (b"<html>{}</html>", [Malformed("body")], False),
        (b'[1,"{",{}]', [], True),
        (b"[[{}],{}]", [Malformed("element 1")], True),
        (b'[{"a":}]', [Malformed("element 1")], True),
        (
            b'{"candidates":[{"content":{"parts":[{"text":"}\\""}]}}]}',
            [Text('}"'), Finish(FinishReason.STOP)],
            True,
        ),
    ],
)
def test_odd_arrays_pass_and_say_what_they_say(body: bytes, expected: list[Delta], done: bool) -> None:
    for size in (0, 1, 2):
        assert (body, expected, done) == array(body, size)[:3]


@pytest.mark.parametrize("size", [0, 100_000])
def test_an_object_that_is_too_large_passes_unread(size: int) -> None:
    large = b'{"candidates":[{"content":{"parts":[{"inlineData":{"data":"' + b"A" * 1_100_000 + b'"}}]}}]}'
    last = b'{"candidates":[{"content":{"parts":[{"text":"a"}]},"finishReason":"STOP"}]}'
    body = b"[" + large + b"," + last + b"]"

    assert (body, [Media("oversized"), Text("a"), Finish(FinishReason.STOP)], True, True) == array(body, size)


# ---- what we say --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "word"),
    [
        (400, "INVALID_ARGUMENT"),
        (401, "UNAUTHENTICATED"),
        (403, "PERMISSION_DENIED"),
        (404, "NOT_FOUND"),
        (418, "FAILED_PRECONDITION"),
        (429, "RESOURCE_EXHAUSTED"),
        (500, "INTERNAL"),
        (502, "INTERNAL"),
        (503, "UNAVAILABLE"),
        (504, "DEADLINE_EXCEEDED"),
    ],
)
def test_a_complaint_has_the_dialects_shape(status: int, word: str) -> None:
    wire = GEMINI.complain(status, Fault.UNKNOWN, "so it is")

    info = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "unknown",
        "domain": "llm-sidecar",
    }
    error = {"code": status, "message": "so it is", "status": word, "details": [info]}
    assert {"error": error} == json.loads(wire.body)
    assert status == wire.head.status
    assert b"application/json" == wire.head.get(b"content-type")


@pytest.mark.parametrize("stream", [True, False])
def test_our_own_reader_reads_our_static_answer(stream: bool) -> None:
    asked_for = ask("gemini-x", stream=stream)
    wire = GEMINI.static(asked_for, "Back soon. 🦔")
    assert wire is not None

    reader = GEMINI.reader(asked_for, wire.head.get(b"content-type") or b"")
    raw, deltas = run(reader, [wire.body])

    assert wire.body == raw
    assert [Answering("gemini-x"), Text("Back soon. 🦔"), Finish(FinishReason.STOP), Usage(0, 0)] == deltas
    assert reader.finished
    assert b'"llm_sidecar":{"degraded":true,"tier":"static"}' in wire.body


def test_no_text_can_stand_in_for_vectors() -> None:
    assert GEMINI.static(Ask(operation=Operation.EMBEDDINGS, model="m"), "Back soon.") is None
