"""What a client may put on the wire: read before, and independently of, the HTTP parser.

A proxy is dangerous where two parsers disagree. So every request head has to match one strict
grammar, seen here on the raw bytes, before the parser gets it; the parser (llhttp, strict) is the
second opinion, and a request passes only if both accept it. What this module adds to the parser:

- one meaning of framing: at most one Content-Length, or `Transfer-Encoding: chunked` and nothing
  else; never both; chunked in HTTP/1.1 only;
- limits on what comes before a body: 64 KiB, 200 fields, 8 KiB of request target;
- chunk extensions are bounded and trailers are dropped (left alone, the parser would carry the
  last trailer of one request into the headers of the next one on the connection);
- refusals that never quote what was sent: a header line may hold a key.

Pure: bytes in, bytes for the parser out, or a `RequestError`.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import NoReturn

HEAD_BYTES = 64 * 1024
HEAD_FIELDS = 200
TARGET_BYTES = 8 * 1024
EXTENSION_BYTES = 256
TRAILER_BYTES = 8 * 1024
_TLS = 0x16  # the first byte of a handshake

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]"
_FIELD = rb"[^\x00-\x08\x0a-\x1f\x7f]"
_HEAD = re.compile(
    rb"(%b++) (/[\x21\x22\x24-\x7e]*+) HTTP/1\.([01])\r\n((?:%b++:%b*+\r\n)*+)\r\n" % (_TOKEN, _TOKEN, _FIELD)
)
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})((?:[ \t]*;%b*+)?)" % _FIELD)
_LINE = re.compile(rb"%b++:%b*+" % (_TOKEN, _FIELD))
_TARGET = re.compile(rb"%b+ (/[\x21\x22\x24-\x7e]*)" % _TOKEN)


class RequestError(Exception):
    """We do not serve this request. `code` is for machines, `message` for people; both are safe."""

    def __init__(self, status: int, code: str, message: str, *, target: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.target = target  # the request's path, where it could be read: it names the dialect


class _At(Enum):
    HEAD = "head"
    BODY = "body"
    SIZE = "size"
    CHUNK = "chunk"
    TRAILER = "trailer"
    REFUSED = "refused"


class Gate:
    """Follows one connection's bytes. After a refusal nothing more goes through."""

    __slots__ = ("_at", "_held", "_left")

    def __init__(self) -> None:
        self._at = _At.HEAD
        self._held = b""  # of an incomplete head, chunk size line or trailer section
        self._left = 0  # of a body of known length, or of a chunk with its line end

    @property
    def head_pending(self) -> bool:
        """Part of a head has come, its end has not."""
        return self._at is _At.HEAD and self._held != b""

    def feed(self, data: bytes) -> tuple[bytes, RequestError | None]:
        """The bytes the parser may have, and why it gets no more."""
        if self._at is _At.BODY and len(data) < self._left:
            self._left -= len(data)
            return data, None
        out: list[bytes] = []
        refusal = None
        try:
            self._walk(data, out)
        except RequestError as error:
            self._at = _At.REFUSED
            self._held = b""
            refusal = error
        return (out[0] if len(out) == 1 else b"".join(out)), refusal

    def _walk(self, data: bytes, out: list[bytes]) -> None:
        while data:
            match self._at:
                case _At.HEAD:
                    data = self._head(self._held + data, out)
                case _At.BODY | _At.CHUNK:
                    data = self._body(data, out)
                case _At.SIZE:
                    data = self._size(self._held + data, out)
                case _At.TRAILER:
                    data = self._trailer(self._held + data, out)
                case _At.REFUSED:
                    return

    def _head(self, data: bytes, out: list[bytes]) -> bytes:
        end = data.find(b"\r\n\r\n") + 4
        if end == 3:
            _check_partial(data)
            self._held = data
            return b""
        self._held = b""
        length = check_head(data if end == len(data) else data[:end])
        if length is None:
            self._at = _At.SIZE
        elif length:
            self._at = _At.BODY
            self._left = length
            if len(data) - end <= length:  # what nearly always happens: one request, one piece
                self._left -= len(data) - end
                if not self._left:
                    self._at = _At.HEAD
                out.append(data)
                return b""
        out.append(data if end == len(data) else data[:end])
        return data[end:]

    def _body(self, data: bytes, out: list[bytes]) -> bytes:
        if len(data) < self._left:
            self._left -= len(data)
            out.append(data)
            return b""
        out.append(data[: self._left])
        rest = data[self._left :]
        self._left = 0
        self._at = _At.HEAD if self._at is _At.BODY else _At.SIZE
        return rest

    def _size(self, data: bytes, out: list[bytes]) -> bytes:
        end = data.find(b"\r\n", 0, 16 + EXTENSION_BYTES + 2)
        if end < 0:
            if len(data) >= 16 + EXTENSION_BYTES + 2:
                _refuse("chunk_extension", f"a chunk's size line is longer than {EXTENSION_BYTES} bytes")
            if b"\n" in data:
                _refuse("bare_lf", "a chunk's size line ends in a bare line feed")
            self._held = data
            return b""
        self._held = b""
        line = _SIZE.fullmatch(data, 0, end)
        if line is None:
            _refuse("chunk_size", "a chunk's size is not a plain hexadecimal number")
        if len(line[2]) > EXTENSION_BYTES:
            _refuse("chunk_extension", f"a chunk extension is longer than {EXTENSION_BYTES} bytes")
        size = int(line[1], 16)
        out.append(line[1] + b"\r\n")  # extensions mean nothing to anyone behind us
        if size:
            self._at = _At.CHUNK
            self._left = size + 2
        else:
            self._at = _At.TRAILER
        return data[end + 2 :]

    def _trailer(self, data: bytes, out: list[bytes]) -> bytes:
        end = 0 if data.startswith(b"\r\n") else data.find(b"\r\n\r\n")
        if end < 0:
            if len(data) > TRAILER_BYTES:
                raise RequestError(
                    431, "trailers_too_large", f"the trailers are larger than {TRAILER_BYTES} bytes"
                )
            self._held = data
            return b""
        if end and not all(_LINE.fullmatch(line) for line in data[:end].split(b"\r\n")):
            _refuse("bad_trailer", "a trailer field is malformed")
        self._held = b""
        self._at = _At.HEAD
        out.append(b"\r\n")
        return data[end + 4 if end else 2 :]


def check_head(head: bytes) -> int | None:
    """The length of the body that follows; None: it is chunked. Raises RequestError."""
    if len(head) > HEAD_BYTES:
        raise _too_large(head)
    match = _HEAD.fullmatch(head)
    if match is None or match[1] == b"CONNECT":
        raise _explain(head)
    target = match[2].decode("ascii")
    if len(target) > TARGET_BYTES:
        raise RequestError(414, "target_too_long", f"the request target is longer than {TARGET_BYTES} bytes")
    fields = match[4]
    if fields.count(b"\n") > HEAD_FIELDS:
        raise RequestError(
            431, "too_many_headers", f"the request has more than {HEAD_FIELDS} header fields", target=target
        )
    lower = head.lower()
    if lower.count(b"\r\nhost:") != 1:
        _refuse("host", "the request needs exactly one Host header", target)
    if b"\r\nupgrade:" in lower and b"websocket" in lower:
        _refuse_websocket(lower, target)
    lengths = lower.count(b"\r\ncontent-length:")
    codings = lower.count(b"\r\ntransfer-encoding:")
    if codings:
        if lengths:
            _refuse("two_framings", "the request has both Content-Length and Transfer-Encoding", target)
        if codings > 1 or _value(lower, b"\r\ntransfer-encoding:") != b"chunked" or match[3] == b"0":
            _refuse("transfer_encoding", "the only Transfer-Encoding served is chunked, in HTTP/1.1", target)
        return None
    if not lengths:
        return 0
    if lengths > 1:
        _refuse("duplicate_length", "the request has two Content-Length headers", target)
    length = _value(lower, b"\r\ncontent-length:")
    if not length.isdigit() or len(length) > 18:
        _refuse("content_length", "the Content-Length header is not a plain number", target)
    return int(length)


def _value(lower: bytes, name: bytes) -> bytes:
    """The value of a header that is there. `name` with its line start and colon."""
    start = lower.index(name) + len(name)
    return lower[start : lower.index(b"\r\n", start)].strip(b" \t")


def _refuse_websocket(lower: bytes, target: str) -> None:
    if b"websocket" in _value(lower, b"\r\nupgrade:"):
        raise RequestError(
            501,
            "websocket",
            "WebSocket connections are not supported by llm-sidecar; "
            "connect to the provider directly for this one, or use its HTTP API",
            target=target,
        )


def target_of(head: bytes) -> str:
    """The request target, as far as it can be read from a head that may be broken."""
    match = _TARGET.match(head, 0, TARGET_BYTES)
    return match[1].decode("ascii") if match else ""


def _refuse(code: str, message: str, target: str = "") -> NoReturn:
    raise RequestError(400, code, message, target=target)


def _too_large(head: bytes) -> RequestError:
    return RequestError(
        431,
        "headers_too_large",
        f"the request's head is larger than {HEAD_BYTES} bytes",
        target=target_of(head),
    )


def _check_partial(data: bytes) -> None:
    """Refuse early what can never become a request, instead of waiting for its end."""
    if len(data) > HEAD_BYTES:
        raise _too_large(data)
    if data[0] == _TLS or data.count(b"\n") != data.count(b"\r\n") or b"\0" in data:
        raise _explain(data)


def _explain(head: bytes) -> RequestError:
    """Why a head does not match the grammar, without quoting it."""
    target = target_of(head)
    line, _, rest = head.partition(b"\r\n")
    if head[0] == _TLS:
        return RequestError(
            400, "tls", "this port speaks plain HTTP and was sent TLS: use http:// in the base URL"
        )
    if b"\0" in head:
        return RequestError(400, "nul", "the request's head contains a NUL byte", target=target)
    if re.search(rb"(?<!\r)\n", head):
        return RequestError(
            400, "bare_lf", "a line of the request's head ends in a bare line feed", target=target
        )
    if re.search(rb"\r(?!\n|\Z)", head):
        return RequestError(
            400, "bare_cr", "the request's head contains a bare carriage return", target=target
        )
    words = line.split(b" ")
    if len(words) == 3 and words[2].startswith(b"HTTP/") and words[2] not in {b"HTTP/1.0", b"HTTP/1.1"}:
        return RequestError(505, "http_version", "only HTTP/1.1 and HTTP/1.0 are served", target=target)
    if line.startswith(b"CONNECT "):
        return RequestError(
            405, "connect", "llm-sidecar is not a forward proxy: set its address as the SDK's base URL"
        )
    if len(words) == 3 and re.match(rb"[A-Za-z][A-Za-z0-9+.-]*://", words[1]):
        return RequestError(
            400, "absolute_form", "llm-sidecar is not a forward proxy: set its address as the SDK's base URL"
        )
    if not re.fullmatch(rb"%b+ /[\x21\x22\x24-\x7e]* HTTP/1\.[01]" % _TOKEN, line):
        return RequestError(400, "request_line", "the request line is malformed", target=target)
    for field in rest.split(b"\r\n"):
        if field[:1] in {b" ", b"\t"}:
            return RequestError(400, "folded_header", "a header is folded over two lines", target=target)
        if re.match(rb"[^:]*[ \t]+:", field):
            return RequestError(
                400, "space_before_colon", "a header has a space before its colon", target=target
            )
    return RequestError(400, "bad_header", "a header field is malformed", target=target)
