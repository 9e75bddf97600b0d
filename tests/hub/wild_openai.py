"""Conversations as a client of OpenAI may legally write them, odd ones above all."""

from __future__ import annotations

import json
from typing import Any

from tests.hub.cases import PDF, PNG, WAV, Json
from tests.hub.drawn import Drawn


class OpenAI(Drawn):
    # ---- OpenAI chat completions -----------------------------------------------------------

    def chat(self) -> Json:
        messages = [*self.many(0, 2, self._instruct), self._chat_user()]
        for _ in range(self.chance.randint(0, 4)):
            messages += self.one(
                lambda: [self._chat_user()],
                lambda: [self._chat_said()],
                lambda: [self._instruct(), self._chat_user()],
                self._chat_round,
                self._chat_round,
            )
        if messages[-1]["role"] == "assistant":
            messages.append(self._chat_user())
        tools: list[Json] = [
            {"type": "function", "function": {"name": name, "description": self.word()} | self._parameters()}
            for name in self.tools()
        ]
        body = {"model": "m", "messages": messages, **({"tools": tools} if tools else {})}
        if tools and self.may(0.5):
            named: Any = {"type": "function", "function": {"name": tools[0]["function"]["name"]}}
            body["tool_choice"] = self.chance.choice(["auto", "none", "required", named])
        form = {"name": "ship", "schema": self.schema(), "strict": True, "description": self.word()}
        return body | self.some(
            0.15,
            temperature=self.chance.choice([0.25, 1.25]),
            top_p=0.875,
            n=1,
            seed=self.number(),
            presence_penalty=self.chance.choice([0, 0.625]),
            max_completion_tokens=self.number(),
            stop=self.chance.choice(["END OF IT", ["STOP A", "STOP B"], None, [], [" "]]),
            stream=True,
            user=self.word(),
            logit_bias={"50256": -97},
            metadata={"ticket": self.word()},
            store=self.may(0.5),
            verbosity="low",
            reasoning_effort=self.chance.choice(["none", "minimal", "low", "medium", "high", "xhigh"]),
            response_format=self.chance.choice(
                [{"type": "text"}, {"type": "json_object"}, {"type": "json_schema", "json_schema": form}]
            ),
            prediction={"type": "content", "content": self.word()},
            parallel_tool_calls=self.may(0.5),
        )

    def _parameters(self) -> Json:
        return self.some(0.8, parameters=self.schema(), strict=self.chance.choice([None, True, False]))

    def _texts(self, kind: str, **more: Any) -> Any:
        return self.one(
            self.word, self.word, lambda: self.many(1, 2, lambda: {"type": kind, "text": self.word(), **more})
        )

    def _instruct(self) -> Json:
        return {"role": self.chance.choice(["system", "developer"]), "content": self._texts("text")}

    def _chat_user(self) -> Json:
        data, pdf = f"data:image/png;base64,{PNG}", f"data:application/pdf;base64,{PDF}"
        seen = (
            lambda: {"type": "image_url", "image_url": {"url": data}},
            lambda: {
                "type": "image_url",
                "image_url": {"url": "https://example.org/i.png", "detail": "high"},
            },
            lambda: {"type": "file", "file": {"filename": f"{self.number()}.pdf", "file_data": pdf}},
            lambda: {"type": "input_audio", "input_audio": {"data": WAV, "format": "wav"}},
        )
        content = self._texts("text")
        if self.may(0.15):
            content = [self.one(*seen), {"type": "text", "text": self.word()}]
        return {"role": "user", "content": content, **self.some(0.05, name=f"bob{self.number()}")}

    def _chat_said(self) -> Json:
        message = self.one(
            lambda: {"content": self._texts("text")},
            lambda: {"content": self.word(), "refusal": None, "annotations": [], "audio": None},
            lambda: {"content": self.word(), "function_call": None, "tool_calls": None},
            lambda: {"content": None, "refusal": self.word()},
            lambda: {"content": [{"type": "refusal", "refusal": self.word()}]},
            lambda: {"content": self.word(), "reasoning_content": self.word()},
            lambda: {"content": ""},
        )
        return {"role": "assistant", **message}

    def _chat_round(self) -> list[Json]:
        calls = [
            {"id": self.ident(), "type": "function", "function": {"name": self.tool(), "arguments": given}}
            for given in self.many(1, 3, lambda: self.one(str, lambda: json.dumps(self.arguments())))
        ]
        said = {
            "role": "assistant",
            "tool_calls": calls,
            **self.some(0.7, content=self.chance.choice([None, ""])),
        }
        results = [
            {
                "role": "tool",
                "tool_call_id": call["id"],
                "content": self.one(self.blank, lambda: self._texts("text")),
            }
            for call in self.shuffled(calls)
        ]
        return [{**said, **self.some(0.3, content=self.word())}, *results]

    # ---- OpenAI responses ------------------------------------------------------------------

    def responses(self) -> Json:
        items: list[Json] = [self._item("user")]
        open_: list[str] = []
        for _ in range(self.chance.randint(0, 7)):
            items += self.one(
                lambda: [self._item("user")],
                lambda: [self._item("assistant")],
                lambda: [self._item(self.chance.choice(["system", "developer"])), self._item("user")],
                lambda: [self._thought()],
                lambda: self._item_calls(open_),
                lambda: self._item_calls(open_),
            )
            if open_ and self.may(0.5):
                items += self._item_results(open_)
        items += [*self._item_results(open_), self._item("user")]
        tools: list[Json] = [
            {"type": "function", "name": name, "description": self.word()} | self._parameters()
            for name in self.tools()
        ]
        body: Json = {"model": "m", "input": items, **({"tools": tools} if tools else {})}
        if tools and self.may(0.5):
            named = {"type": "function", "name": tools[0]["name"]}
            body["tool_choice"] = self.chance.choice(["auto", "none", "required", named])
        form = {"type": "json_schema", "name": "ship", "schema": self.schema(), "strict": True}
        return body | self.some(
            0.15,
            instructions=self.blank(),
            temperature=self.chance.choice([0.25, 1.25]),
            top_p=0.875,
            max_output_tokens=self.number(),
            stream=True,
            user=self.word(),
            metadata={"ticket": self.word()},
            store=self.may(0.5),
            include=["reasoning.encrypted_content"],
            reasoning=self.chance.choice(
                [
                    {"effort": "low"},
                    {"effort": "high", "summary": "auto"},
                    {"summary": "detailed"},
                    {"effort": None},
                ]
            ),
            text=self.chance.choice([{"format": {"type": "text"}}, {"format": form}, {"verbosity": "high"}]),
            previous_response_id=None,
            background=False,
        )

    def _item(self, role: str) -> Json:
        kind = "output_text" if role == "assistant" else "input_text"
        more: Json = {"annotations": [], "logprobs": []} if role == "assistant" else {}
        item: Json = {"role": role, "content": self._texts(kind, **more)}
        seen = (
            lambda: {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}", "detail": "auto"},
            lambda: {"type": "input_image", "image_url": "https://example.org/i.png"},
            lambda: {
                "type": "input_file",
                "filename": f"{self.number()}.pdf",
                "file_data": f"data:application/pdf;base64,{PDF}",
            },
        )
        if role == "user" and self.may(0.15):
            item["content"] = [{"type": kind, "text": self.word()}, self.one(*seen)]
        if role == "assistant" and self.may(0.5):
            item |= {"type": "message", "id": f"msg_{self.number()}", "status": "completed"}
        return item | self.some(0.3, type="message")

    def _thought(self) -> Json:
        summary = self.many(0, 1, lambda: {"type": "summary_text", "text": self.word()})
        return {"type": "reasoning", "id": f"rs_{self.number()}", "summary": summary} | self.some(
            0.5, encrypted_content=f"c2VhbA{self.number()}", status=None
        )

    def _item_calls(self, open_: list[str]) -> list[Json]:
        open_.append(self.ident())
        call = {"call_id": open_[-1], "name": self.tool(), "arguments": json.dumps(self.arguments())}
        return [
            {"type": "function_call", **call, **self.some(0.5, id=f"fc_{self.number()}", status="completed")}
        ]

    def _item_results(self, open_: list[str]) -> list[Json]:
        picture = {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"}
        results = [
            {
                "type": "function_call_output",
                "call_id": ident,
                "output": self.one(
                    self.blank,
                    lambda: self._texts("input_text"),
                    lambda: [{"type": "input_text", "text": self.word()}, picture],
                ),
            }
            for ident in self.shuffled(open_)
        ]
        open_.clear()
        return results
