"""An application: real SDK clients, and what became of their calls.

The SDKs have their default settings, but for one: google-genai retries nothing unless it is told to.
Here it is told to, in both arms and as its own defaults have it (five attempts, from a second's wait),
since a table that wins against an SDK without retries would show little. No SDK's own timeout ends a
call of this day: those of openai and anthropic are ten minutes, google-genai has none.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sidecar.demo.day import Planned
from sidecar.provider import expected

MODELS = {
    "openai_chat": "gpt-demo",
    "openai_responses": "gpt-demo",
    "anthropic": "claude-demo",
    "gemini": "gemini-demo",
}
SCHEMA = {
    "type": "object",
    "properties": {"answer": {"type": "string"}},
    "required": ["answer"],
    "additionalProperties": False,
}

Ask = Callable[[Planned], Awaitable[str]]


def right(call: Planned) -> str:
    """What the application must read: its own nonce, every word, and the end mark."""
    text = expected(call.nonce)
    return json.dumps({"answer": text}) if call.form == "json" else text


@dataclass(slots=True)
class Tally:
    """What the application got. `took`: seconds until it had its answer, or knew that it has none."""

    complete: int = 0
    wrong: int = 0
    failed: int = 0
    waiting: int = 0
    took: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    mistakes: list[str] = field(default_factory=list)
    asked: Counter[str] = field(default_factory=Counter)  # by dialect
    answered: Counter[str] = field(default_factory=Counter)  # completely, by dialect

    @property
    def calls(self) -> int:
        return self.complete + self.wrong + self.failed + self.waiting

    def quantile(self, share: float) -> float:
        took = sorted(self.took)
        return took[min(len(took) - 1, int(share * len(took)))] if took else 0.0

    def judge(self, call: Planned, text: str) -> None:
        """An answer that came without any complaint is complete, or it is wrong."""
        if text == right(call):
            self.complete += 1
            self.answered[call.dialect] += 1
        else:
            self.wrong += 1
            self.mistakes.append(f"{call.dialect} {call.form} {call.nonce}: {text!r}")


@dataclass(slots=True)
class Arm:
    """One of the two applications."""

    name: str
    ask: Ask
    tally: Tally = field(default_factory=Tally)

    async def run(self, planned: list[Planned], began: float, patience: float) -> None:
        """Makes every call at its time; what has no end `patience` seconds after the last has failed."""
        loop = asyncio.get_running_loop()
        tasks: list[asyncio.Task[None]] = []
        try:
            for call in planned:
                await asyncio.sleep(began + call.at - loop.time())
                tasks.append(asyncio.create_task(self._call(call)))  # noqa: TID251  # an application
            await asyncio.wait(tasks, timeout=patience)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _call(self, call: Planned) -> None:
        tally, loop = self.tally, asyncio.get_running_loop()
        began = loop.time()
        tally.waiting += 1
        tally.asked[call.dialect] += 1
        try:
            tally.judge(call, await self.ask(call))
        except asyncio.CancelledError:
            tally.failed += 1
            tally.errors["no answer by the end of the day"] += 1
            raise
        except Exception as error:  # noqa: BLE001  # whatever an SDK raises, the call has failed
            tally.failed += 1
            tally.errors[type(error).__name__] += 1
        finally:
            tally.waiting -= 1
            tally.took.append(loop.time() - began)


class NotCompleted(Exception):
    """A response that ended as failed or incomplete: the openai SDK hands it over and raises nothing."""


class Clients:
    """The three SDKs, each with its base URL. Raises ImportError without them."""

    def __init__(self, openai_url: str, anthropic_url: str, gemini_url: str) -> None:
        import anthropic
        import openai
        from google import genai
        from google.genai import types

        self._openai = openai.AsyncOpenAI(base_url=openai_url, api_key="demo")
        self._anthropic = anthropic.AsyncAnthropic(base_url=anthropic_url, api_key="demo")
        options = types.HttpOptions(base_url=gemini_url, retry_options=types.HttpRetryOptions())
        self._google = genai.Client(vertexai=False, api_key="demo", http_options=options).aio
        self._calls = {
            "openai_chat": self._chat,
            "openai_responses": self._responses,
            "anthropic": self._messages,
            "gemini": self._content,
        }

    async def close(self) -> None:
        await self._openai.close()
        await self._anthropic.close()
        await self._google.aclose()

    async def ask(self, call: Planned) -> str:
        return await self._calls[call.dialect](call, f"Say something. nonce:{call.nonce}")

    async def _chat(self, call: Planned, text: str) -> str:
        request: dict[str, Any] = {
            "model": MODELS[call.dialect],
            "messages": [{"role": "user", "content": text}],
        }
        if call.form == "stream":
            said = ""
            async for chunk in await self._openai.chat.completions.create(stream=True, **request):
                said += "".join(choice.delta.content or "" for choice in chunk.choices)
            return said
        if call.form == "json":
            form = {"name": "answer", "schema": SCHEMA, "strict": True}
            request["response_format"] = {"type": "json_schema", "json_schema": form}
        answer = await self._openai.chat.completions.create(**request)
        return answer.choices[0].message.content or ""

    async def _responses(self, call: Planned, text: str) -> str:
        request: dict[str, Any] = {"model": MODELS[call.dialect], "input": text}
        if call.form == "stream":
            said = ""
            async for event in await self._openai.responses.create(stream=True, **request):
                if event.type == "response.output_text.delta":
                    said += event.delta
                elif event.type in {"response.failed", "response.incomplete"}:
                    raise NotCompleted
            return said
        if call.form == "json":
            form = {"type": "json_schema", "name": "answer", "schema": SCHEMA, "strict": True}
            request["text"] = {"format": form}
        answer = await self._openai.responses.create(**request)
        if answer.error:
            raise NotCompleted
        return str(answer.output_text)

    async def _messages(self, call: Planned, text: str) -> str:
        request: dict[str, Any] = {
            "model": MODELS[call.dialect],
            "max_tokens": 200,
            "messages": [{"role": "user", "content": text}],
        }
        if call.form == "stream":
            async with self._anthropic.messages.stream(**request) as stream:
                return "".join([piece async for piece in stream.text_stream])
        if call.form == "json":
            request["output_config"] = {"format": {"type": "json_schema", "schema": SCHEMA}}
        answer = await self._anthropic.messages.create(**request)
        return "".join(block.text for block in answer.content if block.type == "text")

    async def _content(self, call: Planned, text: str) -> str:
        models, model = self._google.models, MODELS[call.dialect]
        if call.form == "stream":
            pieces = await models.generate_content_stream(model=model, contents=text)
            return "".join([piece.text or "" async for piece in pieces])
        form = {"response_mime_type": "application/json", "response_json_schema": SCHEMA}
        config: Any = form if call.form == "json" else None
        return (await models.generate_content(model=model, contents=text, config=config)).text or ""


def progress(arms: Mapping[str, Tally]) -> str:
    return " | ".join(
        f"{name}: {tally.complete} ok {tally.wrong} wrong {tally.failed} failed"
        for name, tally in arms.items()
    )
