"""A request as nobody's dialect says it: what every reader fills in and every writer takes.

The hub is small on purpose. It holds what two dialects at least can say; what only one can stays in
`rest`, by the name it has there, so that a writer of another dialect can do one of two honest
things with it: represent it, or name it as lost. Nothing may leave without being in one of the two lists,
and `audit` checks that without knowing any dialect.

Parts and turns are many, and trees: they are no work for the garbage collector.

Everything that can be lost knows where it stood in the source (`at`, "messages[3].content[0]"), so
that a loss is told in the words of the client who wrote it. Order is meaning: turns and the parts of
a turn stand as the client sent them. System prompts are turns too, because some stand in the middle
of a conversation.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from msgspec import Struct

Json = Any  # what a JSON document decodes to
Rest = Mapping[str, Json]
NOTHING: Rest = MappingProxyType({})


class Role(StrEnum):
    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"


class TextPart(Struct, frozen=True, gc=False):
    text: str
    rest: Rest = NOTHING  # as cache_control, annotations
    at: str = ""


class MediaKind(StrEnum):
    IMAGE = "image"
    DOCUMENT = "document"
    AUDIO = "audio"
    VIDEO = "video"


class MediaPart(Struct, frozen=True, gc=False):
    """An image, a document, audio: its bytes (base64, as it came) or an address, never both.

    `file` is the provider's own id of an upload: only that provider can be asked.
    """

    kind: MediaKind
    type: str = ""  # media type, "image/png"; "" where the client did not say
    data: str = ""
    url: str = ""
    file: str = ""
    name: str = ""  # of a document
    name_at: str = ""  # where that stood
    rest: Rest = NOTHING  # as detail
    at: str = ""


class ToolUsePart(Struct, frozen=True, gc=False):
    """The model called a tool. `arguments` is JSON text, as the model wrote it; `given` is the object that
    it was in a dialect that has them as one."""

    id: str  # "" where the dialect has none (Gemini)
    name: str
    arguments: str
    rest: Rest = NOTHING
    at: str = ""
    given: Mapping[str, Json] | None = None


class ToolResultPart(Struct, frozen=True, gc=False):
    """What a tool said. It belongs to the call of that id; `name` where the dialect needs it."""

    id: str
    name: str
    parts: tuple[TextPart | MediaPart, ...]
    error: bool = False
    rest: Rest = NOTHING
    at: str = ""


class ThoughtPart(Struct, frozen=True, gc=False):
    """Reasoning of an earlier answer. `sealed` (signatures, encrypted content) is one provider's own."""

    text: str
    sealed: Rest = NOTHING
    at: str = ""


class RefusalPart(Struct, frozen=True, gc=False):
    text: str
    at: str = ""
    rest: Rest = NOTHING


class OwnPart(Struct, frozen=True, gc=False):
    """A part that only its own dialect knows: `name` is its type there."""

    name: str
    value: Json
    at: str = ""


Part = TextPart | MediaPart | ToolUsePart | ToolResultPart | ThoughtPart | RefusalPart | OwnPart


class Turn(Struct, frozen=True, gc=False):
    role: Role
    parts: tuple[Part, ...]
    name: str = ""
    rest: Rest = NOTHING
    at: str = ""


class Tool(Struct, frozen=True, gc=False):
    """A function the model may call; `schema` is the JSON schema of its arguments."""

    name: str
    description: str = ""
    schema: Mapping[str, Json] | None = None
    strict: bool | None = None
    rest: Rest = NOTHING
    at: str = ""


class Choice(StrEnum):
    AUTO = "auto"
    NONE = "none"
    REQUIRED = "required"  # some tool
    NAMED = "named"  # the one in `Conversation.named`


class Shape(StrEnum):
    TEXT = "text"
    JSON = "json"  # any JSON object
    SCHEMA = "schema"


class Format(Struct, frozen=True):
    """How the answer has to look."""

    shape: Shape = Shape.TEXT
    schema: Mapping[str, Json] | None = None
    name: str = ""
    description: str = ""
    strict: bool | None = None


class Effort(StrEnum):
    NONE = "none"
    MINIMAL = "minimal"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    XHIGH = "xhigh"
    MAX = "max"


class Thinking(Struct, frozen=True):
    """How much to reason: an effort, or a budget in tokens; both None: the client said nothing.

    `shown`: the client wants to see (a summary of) the thoughts.
    """

    effort: Effort | None = None
    budget: int | None = None
    shown: bool | None = None


class Sampling(Struct, frozen=True):
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    choices: int | None = None  # n
    max_output: int | None = None


class Conversation(Struct, frozen=True):
    model: str
    turns: tuple[Turn, ...]
    stream: bool = False
    tools: tuple[Tool, ...] = ()
    called: frozenset[str] = frozenset()  # the tools that the turns have calls of, as far as these have ids
    choice: Choice | None = None
    named: str = ""  # the tool of Choice.NAMED
    allowed: tuple[str, ...] = ()  # the only tools that may be called; (): all of them
    parallel: bool | None = None  # may the model call several tools at once? None: nothing said
    format: Format = Format()
    thinking: Thinking = Thinking()
    sampling: Sampling = Sampling()
    stream_usage: bool = False  # the client asked for usage in its stream (OpenAI chat)
    continues: bool = False  # the last turn is an answer that the model shall go on with (a prefill)
    user: str = ""  # the client's own word for its user; a safety identifier
    rest: Rest = NOTHING  # top-level fields only this dialect has, by name
    names: Mapping[str, str] = NOTHING  # our names of fields -> the source's, where they differ

    def named_as(self, field: str) -> str:
        """What the client calls `field`, "sampling.max_output" as "max_completion_tokens"."""
        return self.names.get(field, field)


def goes_on(turns: tuple[Turn, ...]) -> bool:
    """Ends it in an answer that was begun? Turns with calls in them are history."""
    last = turns[-1] if turns else None
    if last is None or last.role is not Role.ASSISTANT or not last.parts:
        return False
    return all(isinstance(part, TextPart) for part in last.parts)


class Unrepresentable(Exception):
    """The target dialect cannot say this at all; `field` names it in the source dialect's words."""

    def __init__(self, field: str, why: str) -> None:
        super().__init__(f"{field}: {why}")
        self.field = field
        self.why = why
