"""What a request needs of whoever answers it, derived once for all targets of a chain.

From a conversation everything is known. Of a request that only passes in its own dialect nobody reads
more than the `Ask`; then `read` is False, and what only reading shows (media, state, the length of the
text alone) counts as not asked for.
"""

from __future__ import annotations

from msgspec import Struct

from sidecar.hub.conversation import (
    Choice,
    Conversation,
    Effort,
    MediaKind,
    MediaPart,
    OwnPart,
    Part,
    Role,
    Shape,
    TextPart,
    ToolResultPart,
    ToolUsePart,
)
from sidecar.model import Ask, Operation

SYSTEM = Role.SYSTEM  # looking it up costs more than comparing it
# fields that name something the provider keeps, or does by itself
STATE = frozenset(
    {
        "previous_response_id", "conversation", "container", "prompt", "background", "cachedContent",
        "cached_content", "mcp_servers",
    }
)  # fmt: skip
_WANTED = frozenset({"logprobs", "top_logprobs", "responseLogprobs", "response_logprobs"})


class Features(Struct, frozen=True, kw_only=True):
    """`at` fields hold where the first of its kind stands in the source; "" where there is none."""

    size: int  # bytes of the body without its media
    read: bool = True
    embedding: bool = False
    max_output: int | None = None
    images: int = 0
    documents: int = 0
    audio: int = 0
    video: int = 0
    remote_document_at: str = ""  # one that stands at an address
    tools: bool = False
    choice: Choice | None = None
    parallel: bool | None = None
    shape: Shape = Shape.TEXT
    stops: int = 0
    choices: int = 1
    sampling: tuple[str, ...] = ()  # of temperature, top_p, top_k: those that are set
    logprobs_at: str = ""
    thinks: bool = False  # reasoning is asked for, in whatever measure
    effort: Effort | None = None
    prefill_at: str = ""  # the last turn is the model's own
    continues: bool = False  # it is one that the client wants to be gone on with
    system: bool = False
    late_system_at: str = ""  # a system message after the first turn
    state_at: str = ""  # what only one provider holds: a file, an earlier answer, a container
    server_tool_at: str = ""  # a tool that the provider runs


def of_ask(ask: Ask, size: int) -> Features:
    """As far as it is known without reading the conversation."""
    return Features(
        size=size,
        read=False,
        embedding=ask.operation is Operation.EMBEDDINGS,
        max_output=ask.max_output,
        tools=bool(ask.tools),
        shape=Shape.SCHEMA if ask.schema is not None else Shape.JSON if ask.json else Shape.TEXT,
        choices=ask.choices,
        thinks=ask.reasoning,
    )


def of_conversation(conversation: Conversation, size: int) -> Features:
    """`size`: bytes of the body as the client sent it."""
    seen = _Seen()
    instructed = started = False
    late = ""
    for turn in conversation.turns:
        if turn.role is not SYSTEM:
            started = True
        else:
            instructed = True
            if started:
                late = late or turn.at
        for part in turn.parts:
            kind = type(part)
            if kind is TextPart or kind is ToolUsePart:  # most are
                continue
            if isinstance(part, ToolResultPart):
                for inner in part.parts:
                    if type(inner) is not TextPart:
                        seen.part(inner)
            else:
                seen.part(part)
    sampling, thinking = conversation.sampling, conversation.thinking
    named = conversation.named_as
    last = conversation.turns[-1] if conversation.turns else None
    prefilled = last is not None and last.role is Role.ASSISTANT and _texts(last.parts)
    rest = conversation.rest
    state = next((k for k, v in rest.items() if (v or v == {}) and k.rpartition(".")[2] in STATE), "")
    wanted = next((k for k, v in rest.items() if v and k.rpartition(".")[2] in _WANTED), "")
    off = thinking.effort is Effort.NONE or thinking.budget == 0
    return Features(
        size=max(size - seen.bytes, 0),
        max_output=sampling.max_output,
        images=seen.kinds.count(MediaKind.IMAGE),
        documents=seen.kinds.count(MediaKind.DOCUMENT),
        audio=seen.kinds.count(MediaKind.AUDIO),
        video=seen.kinds.count(MediaKind.VIDEO),
        remote_document_at=seen.remote_document,
        tools=any(tool.name for tool in conversation.tools),
        choice=conversation.choice,
        parallel=conversation.parallel,
        shape=conversation.format.shape,
        stops=len(sampling.stop),
        choices=sampling.choices or 1,
        sampling=tuple(
            name for name in ("temperature", "top_p", "top_k") if getattr(sampling, name) is not None
        ),
        logprobs_at=named(wanted) if wanted else "",
        thinks=not off and (thinking.effort is not None or thinking.budget is not None),
        effort=thinking.effort,
        prefill_at=last.at if last is not None and prefilled else "",
        continues=conversation.continues,
        system=instructed,
        late_system_at=late,
        state_at=seen.own or state,
        server_tool_at=next((tool.at for tool in conversation.tools if not tool.name), ""),
    )


def _texts(parts: tuple[Part, ...]) -> bool:
    """Text and nothing else: a turn with calls in it is history, not a beginning."""
    return bool(parts) and all(isinstance(part, TextPart) for part in parts)


class _Seen:
    def __init__(self) -> None:
        self.kinds: list[MediaKind] = []
        self.bytes = 0
        self.remote_document = ""
        self.own = ""

    def part(self, part: Part) -> None:
        match part:
            case MediaPart():
                self.kinds.append(part.kind)
                self.bytes += len(part.data)
                if part.file:
                    self.own = self.own or part.at
                if part.url and part.kind is MediaKind.DOCUMENT:
                    self.remote_document = self.remote_document or part.at
            case OwnPart():
                self.own = self.own or part.at
            case _:
                pass
