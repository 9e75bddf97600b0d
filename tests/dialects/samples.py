"""Streams written by hand for these tests, in the shapes that providers were seen to send."""

# ruff: noqa: E501  # an event is one line
from __future__ import annotations

from collections.abc import Iterable

from sidecar.dialects import DIALECTS
from sidecar.dialects.base import Dialect, Reader, Wire
from sidecar.model import Ask, Chunk, Delta, Operation

OPENAI = DIALECTS["openai_chat"]
ANTHROPIC = DIALECTS["anthropic"]
GEMINI = DIALECTS["gemini"]
RESPONSES = DIALECTS["openai_responses"]
EMBEDDINGS = DIALECTS["embeddings"]


def ask(model: str = "m", *, stream: bool = True, choices: int = 1) -> Ask:
    return Ask(operation=Operation.CHAT, model=model, stream=stream, choices=choices)


def reader_of(dialect: str, *, choices: int = 1) -> Reader:
    return DIALECTS[dialect].reader(ask(choices=choices), b"text/event-stream; charset=utf-8")


def body_reader_of(dialect: str, *, choices: int = 1) -> Reader:
    return DIALECTS[dialect].reader(ask(stream=False, choices=choices), b"application/json")


def run(reader: Reader, pieces: Iterable[bytes]) -> tuple[bytes, list[Delta]]:
    """All that comes out of a reader, its end included."""
    raw = bytearray()
    deltas: list[Delta] = []

    def take(chunk: Chunk) -> None:
        raw.extend(chunk.raw)
        deltas.extend(chunk.deltas)

    for piece in pieces:
        take(reader.feed(piece))
    take(reader.close())
    return bytes(raw), deltas


def said(dialect: str, stream: bytes, *, choices: int = 1) -> list[Delta]:
    return run(reader_of(dialect, choices=choices), [stream])[1]


def whole(dialect: str, body: bytes, *, choices: int = 1) -> list[Delta]:
    return run(body_reader_of(dialect, choices=choices), [body])[1]


def static(dialect: Dialect, asked: Ask, text: str) -> Wire:
    """The static answer of a dialect that has one."""
    wire = dialect.static(asked, text)
    assert wire is not None
    return wire


def data(*events: str) -> bytes:
    """Events of an OpenAI stream."""
    return "".join(f"data: {event}\n\n" for event in events).encode()


def named(*events: str) -> bytes:
    """Events of an Anthropic or a responses stream: each is `type json`."""
    pairs = (event.split(" ", 1) for event in events)
    return "".join(f'event: {kind}\ndata: {{"type":"{kind}"{rest}}}\n\n' for kind, rest in pairs).encode()


OPENAI_TEXT = data(
    '{"id":"c1","object":"chat.completion.chunk","model":"","choices":[],"prompt_filter_results":[]}',
    '{"id":"c1","model":"quill-2","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}',
    '{"id":"c1","model":"quill-2","choices":[{"index":0,"delta":{"content":"Grüße 🦔"},"finish_reason":null}],"usage":null}',
    '{"id":"c1","model":"quill-2","choices":[{"index":0,"delta":{"content":" \\u00e9\\n\\n"}}]}',
    '{"id":"c1","model":"quill-2","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}',
    '{"id":"c1","model":"quill-2","choices":[],"usage":{"prompt_tokens":11,"completion_tokens":7,"total_tokens":18,'
    '"prompt_tokens_details":{"cached_tokens":4},"completion_tokens_details":{"reasoning_tokens":2}}}',
    "[DONE]",
)

OPENAI_TOOLS = (
    b": patience\n\n:\n\n"
    + data(
        '{"model":"quill-2","choices":[{"index":0,"delta":{"role":"assistant","reasoning_content":"I need two"}}]}',
        '{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"call_a","type":"function",'
        '"function":{"name":"tide","arguments":""}}]}}]}',
        '{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\\"port\\":"}}]}}]}',
        '{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"\\"Emden\\"}"}},'
        '{"index":1,"id":"call_b","function":{"name":"wind","arguments":"{}"}}]}}]}',
    )
    + b": still here\n"
    + data('{"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}', "[DONE]")
)

OPENAI_ROUGH = (
    b'data: {"model":"quill-2","choices":[{"index":0,"delta":{"content":"a"}},{"index":1,"delta":{"content":"b"}}]}\n\n'
    b'data: {"choices":[{"index":0,"delta":{"conte\n\n'  # a malformed one
    b"data: 17\n\n"
    b"data:\n\n"
    b'data: {"choices":[{"index":0,"delta":{"content":[{"type":"text","text":"c"}],"refusal":"no"}}]}\n\n'
    b'data: {"choices":\ndata: [{"index":1,"delta":{"content":"d"},"finish_reason":"length"}]}\n\n'
    b'data: {"error":{"message":"gone","code":502}}\n\n'
    b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}'  # no blank line, no sentinel
)

ANTHROPIC_TEXT = named(
    'message_start ,"message":{"id":"msg_1","type":"message","role":"assistant","model":"sonnet-x","content":[],'
    '"stop_reason":null,"usage":{"input_tokens":9,"cache_read_input_tokens":100,'
    '"cache_creation_input_tokens":20,"output_tokens":1}}',
    'content_block_start ,"index":0,"content_block":{"type":"thinking","thinking":"","signature":""}',
    "ping ",
    'content_block_delta ,"index":0,"delta":{"type":"thinking_delta","thinking":"Hm, a hedgehog."}',
    'content_block_delta ,"index":0,"delta":{"type":"signature_delta","signature":"c2lnbg=="}',
    'content_block_stop ,"index":0',
    'content_block_start ,"index":1,"content_block":{"type":"text","text":""}',
    'content_block_delta ,"index":1,"delta":{"type":"text_delta","text":"Grüße 🦔"}      ',
    'content_block_delta ,"index":1,"delta":{"type":"text_delta","text":"\\n\\ndone"}',
    'content_block_stop ,"index":1',
    'message_delta ,"delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":30,'
    '"output_tokens_details":{"thinking_tokens":12}}',
    "message_stop ",
)

ANTHROPIC_TOOLS = named(
    'message_start ,"message":{"id":"msg_2","model":"sonnet-x","content":[],"usage":{"input_tokens":5,"output_tokens":1}}',
    'content_block_start ,"index":0,"content_block":{"type":"tool_use","id":"toolu_1","name":"tide","input":{}}',
    'content_block_delta ,"index":0,"delta":{"type":"input_json_delta","partial_json":""}',
    'content_block_delta ,"index":0,"delta":{"type":"input_json_delta","partial_json":"{\\"port\\":"}',
    'content_block_delta ,"index":0,"delta":{"type":"input_json_delta","partial_json":"\\"Emden\\"}"}',
    'content_block_stop ,"index":0',
    'content_block_start ,"index":1,"content_block":{"type":"tool_use","id":"toolu_2","name":"now","input":{}}',
    'content_block_stop ,"index":1',
    'content_block_start ,"index":2,"content_block":{"type":"server_tool_use","id":"s1","name":"web_search","input":{}}',
    'content_block_delta ,"index":2,"delta":{"type":"input_json_delta","partial_json":"{\\"q\\":1}"}',
    'content_block_stop ,"index":2',
    'message_delta ,"delta":{"stop_reason":"tool_use"},"usage":{"output_tokens":44}',
    "message_stop ",
)

ANTHROPIC_ROUGH = (
    named(
        'message_start ,"message":{"id":"msg_3","model":"sonnet-x","usage":{"input_tokens":5,"output_tokens":1}}'
    )
    + b"event: ping\ndata: {broken\n\n"
    + b": comment\n\n"
    + named('content_block_delta ,"index":0,"delta":{"type":"text_delta","text":"half"}')
    + b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n'
)

RESPONSES_TEXT = named(
    'response.created ,"response":{"id":"r1","object":"response","status":"in_progress","model":"quill-5","output":[],"usage":null,"error":null}',
    'response.in_progress ,"response":{"id":"r1","object":"response","status":"in_progress","model":"quill-5","output":[]}',
    'response.output_item.added ,"output_index":0,"item":{"id":"rs_1","type":"reasoning","summary":[]}',
    'response.reasoning_summary_part.added ,"output_index":0,"summary_index":0,"part":{"type":"summary_text","text":""}',
    'response.reasoning_summary_text.delta ,"output_index":0,"delta":"Hm, a hedgehog."',
    'response.reasoning_summary_text.done ,"output_index":0,"text":"Hm, a hedgehog."',
    'response.output_item.done ,"output_index":0,"item":{"id":"rs_1","type":"reasoning","summary":[{"type":"summary_text","text":"Hm, a hedgehog."}]}',
    'response.output_item.added ,"output_index":1,"item":{"id":"m1","type":"message","role":"assistant","content":[]}',
    'response.content_part.added ,"output_index":1,"content_index":0,"part":{"type":"output_text","text":"","annotations":[]}',
    'response.output_text.delta ,"output_index":1,"content_index":0,"delta":"Grüße 🦔","logprobs":[],"obfuscation":"x7"',
    'response.output_text.delta ,"output_index":1,"content_index":0,"delta":" \\u00e9\\n\\n"',
    'response.output_text.done ,"output_index":1,"content_index":0,"text":"Grüße 🦔 é\\n\\n"',
    'response.content_part.done ,"output_index":1,"content_index":0,"part":{"type":"output_text","text":"Grüße 🦔 é\\n\\n"}',
    'response.output_item.done ,"output_index":1,"item":{"id":"m1","type":"message","status":"completed","content":[{"type":"output_text","text":"Grüße 🦔 é\\n\\n"}]}',
    'response.completed ,"response":{"id":"r1","status":"completed","model":"quill-5","error":null,"incomplete_details":null,'
    '"output":[{"type":"message","content":[{"type":"output_text","text":"Grüße 🦔 é\\n\\n"}]}],"usage":{"input_tokens":11,'
    '"input_tokens_details":{"cached_tokens":4},"output_tokens":7,"output_tokens_details":{"reasoning_tokens":2},"total_tokens":18}}',
)

RESPONSES_TOOLS = b": patience\n\n" + data(  # as OpenRouter and others: no `event`, and a sentinel
    '{"type":"response.created","response":{"model":"quill-5","status":"in_progress"}}',
    '{"type":"response.web_search_call.searching","output_index":0}',
    '{"type":"response.output_item.done","output_index":0,"item":{"type":"web_search_call","status":"completed"}}',
    '{"type":"response.output_item.added","output_index":1,"item":{"type":"function_call","id":"fc_1","call_id":"call_a","name":"tide","arguments":""}}',
    '{"type":"response.function_call_arguments.delta","output_index":1,"delta":"{\\"port\\":"}',
    '{"type":"response.function_call_arguments.delta","output_index":1,"delta":"\\"Emden\\"}"}',
    '{"type":"response.function_call_arguments.done","output_index":1,"arguments":"{\\"port\\":\\"Emden\\"}"}',
    '{"type":"response.output_item.done","output_index":1,"item":{"type":"function_call","call_id":"call_a","name":"tide","arguments":"{\\"port\\":\\"Emden\\"}"}}',
    '{"type":"response.output_item.added","output_index":2,"item":{"type":"function_call","id":"fc_2","call_id":"call_b","name":"now","arguments":""}}',
    '{"type":"response.output_item.done","output_index":2,"item":{"type":"function_call","call_id":"call_b","name":"now","arguments":"{}"}}',
    '{"type":"response.completed","response":{"status":"completed","usage":{"input_tokens":5,"output_tokens":44}}}',
    "[DONE]",
)

RESPONSES_ROUGH = (
    named('response.created ,"response":{"model":"quill-5"}')
    + b"event: response.output_text.delta\ndata: {broken\n\n"
    + b": comment\n\n"
    + b"data:\n\n"
    + named(
        'response.output_text.delta ,"output_index":"x","delta":"half"',
        'response.refusal.delta ,"output_index":0,"delta":"no"',
        'response.failed ,"response":{"status":"failed","error":{"code":"rate_limit_exceeded","message":"later"}}',
        'response.output_text.delta ,"delta":"late"',
    )
)

GEMINI_TEXT = data(
    '{"candidates":[{"content":{"parts":[{"text":"Hm, a hedgehog.","thought":true}],"role":"model"},"index":0}],'
    '"usageMetadata":{"promptTokenCount":11,"totalTokenCount":11},"modelVersion":"gemini-x","responseId":"r1"}',
    '{"candidates":[{"content":{"parts":[{"text":""}],"role":"model"},"index":0}]}',
    '{"candidates":[{"content":{"parts":[{"text":"Grüße 🦔"}],"role":"model"},"index":0}],"modelVersion":"gemini-x"}',
    '{"candidates":[{"content":{"parts":[{"text":" \\u00e9\\n\\n{[\\"]}"}],"role":"model"},"index":0}]}',
    '{"candidates":[{"content":{"parts":[{"text":"","thoughtSignature":"c2lnbg=="}],"role":"model"},"finishReason":"STOP","index":0}],'
    '"usageMetadata":{"promptTokenCount":11,"candidatesTokenCount":7,"thoughtsTokenCount":5,"cachedContentTokenCount":4,'
    '"totalTokenCount":23},"modelVersion":"gemini-x","responseId":"r1"}',
)

GEMINI_TOOLS = data(
    '{"candidates":[{"content":{"parts":[{"functionCall":{"name":"tide","args":{"port":"Emden"}},"thoughtSignature":"c2ln"},'
    '{"functionCall":{"id":"f2","name":"now"}}],"role":"model"},"finishReason":"STOP"}],"modelVersion":"gemini-x"}',
    '{"usageMetadata":{"promptTokenCount":5,"toolUsePromptTokenCount":2,"candidatesTokenCount":9}}',
)

GEMINI_ROUGH = (
    b"data: {broken\n\n"
    + data(
        '{"candidates":[{"content":{"parts":[{"text":"a"}]}},{"index":1,"content":{"parts":[{"inlineData":{"mimeType":"image/png"}}]}}]}',
        "",
        '{"candidates":[{"content":"odd"},{"index":1,"finish_reason":"MAX_TOKENS"}],"usage_metadata":{"prompt_token_count":3}}',
    )
    + b'{"error":{"code":503,"message":"The model is overloaded.","status":"UNAVAILABLE"}}\n'
)

STREAMS = {
    "openai text": ("openai_chat", OPENAI_TEXT, 1),
    "openai tools": ("openai_chat", OPENAI_TOOLS, 1),
    "openai rough": ("openai_chat", OPENAI_ROUGH, 2),
    "openai with a byte order mark": ("openai_chat", b"\xef\xbb\xbf" + OPENAI_TEXT, 1),
    "anthropic text": ("anthropic", ANTHROPIC_TEXT, 1),
    "anthropic tools": ("anthropic", ANTHROPIC_TOOLS, 1),
    "anthropic rough": ("anthropic", ANTHROPIC_ROUGH, 1),
    "responses text": ("openai_responses", RESPONSES_TEXT, 1),
    "responses tools": ("openai_responses", RESPONSES_TOOLS, 1),
    "responses rough": ("openai_responses", RESPONSES_ROUGH, 1),
    "gemini text": ("gemini", GEMINI_TEXT, 1),
    "gemini tools": ("gemini", GEMINI_TOOLS, 1),
    "gemini rough": ("gemini", GEMINI_ROUGH, 2),
}
