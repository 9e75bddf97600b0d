"""Conversations as a client of Anthropic or Gemini may legally write them, odd ones above all."""

from __future__ import annotations

from tests.hub.cases import PDF, PNG, Json
from tests.hub.drawn import Drawn


class Others(Drawn):
    # ---- Anthropic messages ----------------------------------------------------------------

    def anthropic(self) -> Json:
        messages = [self._user()]
        for _ in range(self.chance.randint(0, 4)):
            messages += self.one(
                lambda: [self._user()],
                lambda: [{"role": "assistant", "content": self._blocks()}],
                self._round,
                self._round,
            )
        if messages[-1]["role"] == "assistant":
            messages.append(self._user())
        tools = [
            {"name": name, "description": self.word(), "input_schema": self.schema(), **self._marked()}
            for name in self.tools()
        ]
        body = {"model": "m", "max_tokens": self.number(), "messages": messages}
        if tools:
            choices = (
                {"type": "auto"},
                {"type": "any"},
                {"type": "none"},
                {"type": "tool", "name": tools[0]["name"]},
            )
            body |= {"tools": tools, **self.some(0.5, tool_choice=self.chance.choice(choices))}
        return body | self.some(
            0.15,
            system=self.one(self.word, lambda: self.many(1, 2, self._text)),
            temperature=self.chance.choice([0.25, 0.75]),
            top_p=0.875,
            top_k=self.number(),
            stop_sequences=self.chance.choice([["END OF IT"], [f"STOP {n}" for n in "ABCDEF"], []]),
            stream=True,
            metadata=self.chance.choice([{"user_id": self.word()}, {"user_id": None}, {}]),
            thinking=self.chance.choice(
                [{"type": "disabled"}, {"type": "enabled", "budget_tokens": 2048}, {"type": "adaptive"}]
            ),
            output_config=self.chance.choice(
                [
                    {"effort": "low"},
                    {"effort": "max"},
                    {"format": {"type": "json_schema", "schema": self.schema()}},
                ]
            ),
            context_management={"edits": [{"type": "clear_tool_uses_20250919", "keep": self.number()}]},
            mcp_servers=[],
            container=None,
        )

    def _marked(self) -> Json:
        return self.some(0.1, cache_control={"type": "ephemeral"})

    def _text(self) -> Json:
        return {"type": "text", "text": self.word(), **self._marked(), **self.some(0.2, citations=None)}

    def _image(self) -> Json:
        source = {"type": "base64", "media_type": "image/png", "data": PNG}
        return {"type": "image", "source": source, **self._marked()}

    def _user(self, *results: Json) -> Json:
        pdf = {"type": "base64", "media_type": "application/pdf", "data": PDF}
        seen = (
            self._image,
            lambda: {"type": "image", "source": {"type": "url", "url": "https://example.org/i.png"}},
            lambda: {"type": "document", "source": pdf, **self.some(0.5, title=self.word())},
            lambda: (
                {
                    "type": "document",
                    "source": {"type": "text", "media_type": "text/plain", "data": self.word()},
                }
                | self.some(0.5, title=self.word(), context=self.word(), citations={"enabled": True})
            ),
        )
        blocks = self.many(
            0 if results else 1, 2, lambda: self.one(*seen) if self.may(0.15) else self._text()
        )
        return {"role": "user", "content": [*results, *blocks] if results or self.may(0.5) else self.word()}

    def _blocks(self) -> list[Json]:
        thoughts = (
            lambda: {"type": "thinking", "thinking": self.word(), "signature": "c2ln"},
            lambda: {"type": "redacted_thinking", "data": "bG9jaw=="},
        )
        return [
            *(self.many(0, 2, lambda: self.one(*thoughts)) if self.may(0.2) else ()),
            *self.many(1, 2, self._text),
        ]

    def _round(self) -> list[Json]:
        calls = [
            {"type": "tool_use", "id": f"toolu_{self.number()}", "name": self.tool(), "input": given}
            | self._marked()
            | self.some(0.2, caller={"type": "direct"})
            for given in self.many(1, 3, self.arguments)
        ]
        told = (
            dict,
            lambda: {"content": self.blank()},
            lambda: {"content": self.many(0, 2, self._text)},
            lambda: {"content": [self._image()]},
        )
        results = [
            {"type": "tool_result", "tool_use_id": call["id"], **self.one(*told)}
            | self.some(0.2, is_error=self.may(0.6), cache_control={"type": "ephemeral"})
            for call in self.shuffled(calls)
        ]
        said = self._blocks() if self.may(0.5) else []
        return [{"role": "assistant", "content": [*said, *calls]}, self._user(*results)]

    # ---- Gemini ----------------------------------------------------------------------------

    def gemini(self) -> Json:
        contents = [self._content()]
        for _ in range(self.chance.randint(0, 4)):
            contents += self.one(
                lambda: [self._content()],
                lambda: [{"role": "model", "parts": self._model_parts()}],
                self._calling,
                self._calling,
            )
        if contents[-1].get("role") == "model":
            contents.append(self._content())
        declared: list[Json] = [
            {"name": name, "description": self.word(), **self._declared()} for name in self.tools()
        ]
        body: Json = {
            "contents": contents,
            **({"tools": [{"functionDeclarations": declared}]} if declared else {}),
        }
        modes: list[Json] = [{"mode": "AUTO"}, {"mode": "NONE"}, {"mode": "ANY"}]
        if declared:
            modes.append({"mode": "ANY", "allowedFunctionNames": [declared[0]["name"]]})
            body |= self.some(0.5, toolConfig={"functionCallingConfig": self.chance.choice(modes)})
        config = self.some(
            0.15,
            temperature=self.chance.choice([0.25, 1.25]),
            topP=0.875,
            topK=self.number(),
            stopSequences=[f"STOP {n}" for n in "ABCDE"],
            candidateCount=1,
            seed=self.number(),
            frequencyPenalty=self.chance.choice([0, 0.625]),
            maxOutputTokens=self.number(),
            responseMimeType=self.chance.choice(["text/plain", "application/json"]),
            thinkingConfig=self.chance.choice(
                [
                    {"thinkingBudget": 0},
                    {"thinkingBudget": -1},
                    {"thinkingBudget": 2000, "includeThoughts": True},
                ]
            ),
            mediaResolution="MEDIA_RESOLUTION_LOW",
        )
        if config.get("responseMimeType") == "application/json":
            config |= self.some(0.7, responseJsonSchema=self.schema())
        system = {"parts": self.many(1, 2, lambda: {"text": self.blank()}), **self.some(0.3, role="system")}
        return (
            body | self.some(0.3, systemInstruction=system) | ({"generationConfig": config} if config else {})
        )

    def _declared(self) -> Json:
        port = {"type": "STRING", "description": self.word()}
        return self.chance.choice(
            (
                {"parametersJsonSchema": self.schema()},
                {"parameters": {"type": "OBJECT", "properties": {"port": port}}},
                {},
            )
        )

    def _content(self, *results: Json) -> Json:
        seen = (
            lambda: {"inlineData": {"mimeType": "image/png", "data": PNG}},
            lambda: {"inlineData": {"mimeType": "application/pdf", "data": PDF, "displayName": self.word()}},
            lambda: {"fileData": {"mimeType": "image/png", "fileUri": "https://example.org/i.png"}},
        )
        parts = self.many(0, 1, lambda: {"text": self.word()})
        parts += [
            *results,
            *self.many(0, 1, lambda: self.one(*seen) if self.may(0.2) else {"text": self.blank()}),
        ]
        role = (
            {}
            if self.may(0.05)
            else {"role": self.chance.choice(["user", "function"]) if results else "user"}
        )
        return {**role, "parts": parts or [{"text": self.word()}]}

    def _model_parts(self) -> list[Json]:
        thought = {"text": self.word(), "thought": True, **self.some(0.5, thoughtSignature="c2ln")}
        said = self.many(1, 2, lambda: {"text": self.word(), **self.some(0.1, thoughtSignature="c2ln")})
        return [*([thought] if self.may(0.2) else []), *said]

    def _calling(self) -> list[Json]:
        named = self.may(0.3)  # some clients give ids
        told = (
            lambda: {"output": self.word()},
            lambda: {"result": {"x": self.word(), "n": self.number()}},
            lambda: {"error": self.word()},
            dict,
            lambda: {"a": self.word(), "b": [self.word()]},
        )
        calls, results = [], []
        for _ in range(self.chance.randint(1, 3)):
            about: Json = {"name": self.tool(), **({"id": self.ident()} if named else {})}
            call = {"functionCall": {**about, **self.some(0.9, args=self.arguments())}}
            calls.append({**call, **self.some(0.3, thoughtSignature="c2ln")})
            results.append({"functionResponse": {**about, "response": self.one(*told)}})
        said = self._model_parts() if self.may(0.3) else []
        content = self._content(*(self.shuffled(results) if named else results))
        return [{"role": "model", "parts": [*said, *calls]}, content]
