"""A fake inference server that implements the contract with plain JSON and fails on demand.

Its "model" is arithmetic that tests can repeat: tokens are words, `value_of` gives a feature's activation on a token,
and a completion numbers its tokens. The bodies are written out here instead of built from the server's own models, so
that tests detect a client that parses them incorrectly.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from memicos_testing.fake_inference_server.bodies import (
    BOS,
    END,
    FEATURES,
    UNTESTED,
    capabilities_body,
    ignored_of,
    projection_of,
    prompts_of,
    recipe_body,
    value_of,
)


@dataclass
class FakeInferenceServer:
    """Every field can be changed at any time. `seen` has the path and body of each request, `clients` the header
    X-Client-ID and `requests` the header X-Request-ID."""

    model: str = "small"
    sources: tuple[str, ...] = ("1-res", "2-res", "3-res")
    secret: str | None = None
    state: str = "ready"
    progress: str = "all loaded"
    fraction: float = 1.0
    load: int = 0
    """Requests that other clients have waiting."""
    token_limit: int = 50
    max_text_characters: int | None = None
    chat_template: bool = True
    """Whether conversations are taken as prompts."""
    max_num_results: int = 1000
    refusal: tuple[int, dict[str, Any], dict[str, str]] | None = None
    """(status, body, headers) of every response under /v1 except capabilities."""
    unverified_beyond: int | None = None
    """Tokens beyond which the self-test has verified no values."""
    delay: float = 0.0
    """Seconds before a response, and between frames."""
    health_delay: float = 0.0
    """Seconds before the response to /health."""
    break_after: int | None = None
    """Frames after which a stream's connection breaks."""
    end_after: int | None = None
    """Frames after which a stream ends early, without an error."""
    error_after: int | None = None
    """Frames after which a stream ends with the event `stream_error`."""
    stream_error: dict[str, Any] = field(
        default_factory=lambda: {"error": "No memory is left; ask for fewer tokens.", "cause": "out_of_memory"}
    )
    garbage: bool = False
    seen: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    clients: list[str | None] = field(default_factory=list)
    requests: list[str | None] = field(default_factory=list)
    checks: list[str] = field(default_factory=list)
    """Requests of `health` and `capabilities`, in order."""
    streams_closed: int = 0
    """Streams whose client disconnected before the end."""
    calls_closed: int = 0
    """Calls without a stream whose client disconnected before the response."""
    frames_sent: int = 0

    def app(self) -> Starlette:
        posts = {
            "activation/single": self.single,
            "activation/all": self.all,
            "activation/topk-by-token": self.topk,
            "activation/source": self.source,
            "steer/completion": self.completion,
            "steer/completion-chat": self.chat,
        }
        routes = [Route("/health", self.health), Route("/v1/capabilities", self.capabilities)]
        routes += [Route(f"/v1/{path}", self._guarded(handler), methods=["POST"]) for path, handler in posts.items()]
        return Starlette(routes=routes)

    def reset(self) -> None:
        """Restore the initial state."""
        vars(self).update(vars(FakeInferenceServer()))

    def bodies(self, path: str) -> list[dict[str, Any]]:
        return [body for seen_path, body in self.seen if seen_path == path]

    def _refused(self, request: Request) -> Response | None:
        if self.secret is not None and request.headers.get("x-secret-key") != self.secret:
            body = {"error": "Invalid or missing X-SECRET-KEY header", "cause": "wrong_secret"}
            return JSONResponse(body, 401)
        return None

    def _guarded(self, handler: Any) -> Any:
        async def endpoint(request: Request) -> Response:
            if refused := self._refused(request):
                return refused
            body = await request.json()
            self.seen.append((request.url.path, body))
            self.clients.append(request.headers.get("x-client-id"))
            self.requests.append(request.headers.get("x-request-id"))
            if "steer" not in request.url.path:
                await self._delay(request)
            if self.garbage:
                return JSONResponse({"unexpected": True})
            if self.refusal:
                status, content, headers = self.refusal
                return JSONResponse(content, status, headers)
            if "messages" in body and not self.chat_template:
                return JSONResponse({"error": "The model has no chat template.", "cause": "invalid_request"}, 400)
            count = len(prompts_of(body)[0])
            if count > self.token_limit:
                message = f"Text too long: {count} tokens, max is {self.token_limit}"
                return JSONResponse({"error": message, "cause": "invalid_request"}, 400)
            return await handler(body)

        return endpoint

    async def _delay(self, request: Request) -> None:
        """Wait for `delay` seconds, or until the client disconnects, which `calls_closed` counts.

        A `delay` that is changed meanwhile counts at once.
        """
        started = time.monotonic()
        while (left := started + self.delay - time.monotonic()) > 0:
            try:
                async with asyncio.timeout(min(left, 0.05)):
                    while (await request.receive())["type"] != "http.disconnect":
                        pass
            except TimeoutError:
                continue
            self.calls_closed += 1
            return

    async def _frame_delay(self) -> None:
        started = time.monotonic()
        await asyncio.sleep(0)
        while (left := started + self.delay - time.monotonic()) > 0:  # noqa: ASYNC110 (`delay` may change)
            await asyncio.sleep(min(left, 0.05))

    async def health(self, request: Request) -> Response:
        self.checks.append("health")
        await asyncio.sleep(self.health_delay)
        if self.garbage:
            return JSONResponse({"hello": "world"})
        return JSONResponse(
            {
                "status": "healthy",
                "ready": self.state == "ready",
                "state": self.state,
                "progress": self.progress,
                "progress_fraction": self.fraction,
                "load": self.load,
                "selftest": UNTESTED,
            }
        )

    async def capabilities(self, request: Request) -> Response:
        self.checks.append("capabilities")
        if refused := self._refused(request):
            return refused
        limits = (self.token_limit, self.max_num_results, self.max_text_characters)
        body = capabilities_body(self.model, self.sources, *limits)
        return JSONResponse({**body, "selftest": {**UNTESTED, "unverified_beyond": self.unverified_beyond}})

    def recipe(self, source: str) -> dict[str, Any]:
        return recipe_body(self.model, source)

    async def single(self, body: dict[str, Any]) -> Response:
        (tokens,) = prompts_of(body)
        if vector := body.get("vector"):
            values = [projection_of(vector, token) for token in tokens]
            recipe = {**recipe_body(self.model, "0-none"), "hook_name": body["hook"], "sae": None}
        else:
            values = [value_of(body["source"], body["index"], token) for token in tokens]
            recipe = self.recipe(body["source"])
        counted = range(len(ignored_of(tokens)) if body.get("ignore_bos") else 0, len(tokens))
        strongest = max(counted, key=values.__getitem__)
        return JSONResponse(
            {
                "activation": {
                    "values": values,
                    "max_value": values[strongest],
                    "max_value_index": strongest,
                },
                "tokens": tokens,
                "tokens_is_special": [token == BOS for token in tokens],
                "token_ids": list(range(len(tokens))),
                "ignored_positions": ignored_of(tokens),
                "prepended_bos": ignored_of(tokens) == [0],
                "recipe": recipe,
            }
        )

    async def all(self, body: dict[str, Any]) -> Response:
        (tokens,) = prompts_of(body)
        start = len(ignored_of(tokens)) if body["ignore_bos"] else 0
        chosen = body["sort_by_token_indexes"]
        if any(not 0 <= i < len(tokens) for i in chosen):
            message = f"sort_by_token_indexes: {chosen} are not all positions of {len(tokens)} tokens"
            return JSONResponse({"error": message, "cause": "invalid_request"}, 400)
        features = []
        for source in body["selected_sources"] or self.sources:
            for index in range(FEATURES):
                values = [value_of(source, index, token) for token in tokens]
                strongest = max(range(start, len(tokens)), key=values.__getitem__)
                if values[strongest] == 0:
                    continue
                features.append(
                    {
                        "source": source,
                        "index": index,
                        "values": values,
                        "sum_values": sum(values[i] for i in chosen) if chosen else None,
                        "max_value": values[strongest],
                        "max_value_index": strongest,
                    }
                )
        features.sort(key=lambda feature: -(feature["sum_values"] if chosen else feature["max_value"]))
        return JSONResponse(
            {
                "activations": features[: body["num_results"]],
                "tokens": tokens,
                "prepended_bos": ignored_of(tokens) == [0],
                "counts": None,
                "tokens_is_special": [token == BOS for token in tokens],
                "token_ids": list(range(len(tokens))),
                "sources": [
                    {"source": source, "ignored_positions": ignored_of(tokens), "recipe": self.recipe(source)}
                    for source in body["selected_sources"] or self.sources
                ],
            }
        )

    async def topk(self, body: dict[str, Any]) -> Response:
        (tokens,) = prompts_of(body)
        results = []
        for position, token in enumerate(tokens):
            if body["ignore_bos"] and position in ignored_of(tokens):
                continue
            values = {index: value_of(body["source"], index, token) for index in range(FEATURES)}
            best = sorted((i for i in values if values[i] > 0), key=lambda i: (-values[i], i))[: body["top_k"]]
            results.append(
                {
                    "token_position": position,
                    "token": token,
                    "is_special": token == BOS,
                    "top_features": [{"feature_index": i, "activation_value": values[i]} for i in best],
                }
            )
        ids = list(range(len(tokens)))
        recipe = self.recipe(body["source"])
        return JSONResponse(
            {
                "results": results,
                "tokens": tokens,
                "token_ids": ids,
                "ignored_positions": ignored_of(tokens),
                "prepended_bos": ignored_of(tokens) == [0],
                "recipe": recipe,
            }
        )

    async def source(self, body: dict[str, Any]) -> Response:
        results = []
        for tokens in prompts_of(body):
            start = len(ignored_of(tokens)) if body["ignore_bos"] else 0
            features = {
                str(index): [
                    [position, value_of(body["source"], index, tokens[position])]
                    for position in range(start, len(tokens))
                    if value_of(body["source"], index, tokens[position]) > 0
                ]
                for index in range(FEATURES)
            }
            results.append(
                {
                    "tokens": tokens,
                    "activeFeatures": {index: pairs for index, pairs in features.items() if pairs},
                    "tokens_is_special": [token == BOS for token in tokens],
                    "token_ids": list(range(len(tokens))),
                    "ignored_positions": ignored_of(tokens),
                    "prepended_bos": ignored_of(tokens) == [0],
                }
            )
        return JSONResponse({"results": results, "recipe": self.recipe(body["source"])})

    async def completion(self, body: dict[str, Any]) -> Response:
        def frame(n: int) -> dict[str, Any]:
            outputs = []
            for kind in body["types"]:
                completion = "".join(f" {kind.lower()}{i}" for i in range(n))
                outputs.append(
                    {
                        "type": kind,
                        "output": body["prompt"] + completion,
                        "completion": completion,
                        "token_ids": list(range(n)),
                        "finished": "length" if n == body["n_completion_tokens"] else None,
                        "logprobs": self._logprobs(kind, n) if body["n_logprobs"] else None,
                    }
                )
            return {"outputs": outputs}

        return self._stream(body, frame)

    async def chat(self, body: dict[str, Any]) -> Response:
        total = body["n_completion_tokens"]

        def frame(n: int) -> dict[str, Any]:
            outputs = []
            for kind in body["types"]:
                completion = "".join(f" {kind.lower()}{i}" for i in range(n)).strip()
                outputs.append(
                    {
                        "type": kind,
                        "chat_template": [*body["prompt"], {"role": "assistant", "content": completion}],
                        "raw": self._raw(body["prompt"]) + completion + (END if n == total else ""),
                        "completion": completion,
                        "token_ids": list(range(n)),
                        "finished": "length" if n == body["n_completion_tokens"] else None,
                        "logprobs": self._logprobs(kind, n) if body["n_logprobs"] else None,
                    }
                )
            return {"outputs": outputs, "input": self._chat_input(body)}

        return self._stream(body, frame)

    def _raw(self, turns: list[dict[str, Any]]) -> str:
        return "".join(f"<{turn['role']}>{turn['content']}" for turn in turns)

    def _chat_input(self, body: dict[str, Any]) -> dict[str, Any]:
        return {"chat_template": body["prompt"], "raw": self._raw(body["prompt"]), "token_ids": []}

    def _logprobs(self, kind: str, n: int) -> list[dict[str, Any]]:
        other = {"token": " other", "logprob": -2.5}
        return [{"token": f" {kind.lower()}{i}", "logprob": -0.5, "top_logprobs": [other]} for i in range(n)]

    def _delta(self, body: dict[str, Any], frame: Any, n: int) -> dict[str, Any]:
        """The text that frame `n` adds to the previous frame, found by removing their common prefix."""
        outputs = []
        for before, after in zip(frame(n - 1)["outputs"], frame(n)["outputs"], strict=True):
            completion = after["completion"].removeprefix(before["completion"])
            output = {
                "type": after["type"],
                "completion": completion,
                "token_ids": after["token_ids"][n - 1 :],
                "finished": after["finished"],
                "logprobs": after["logprobs"] and after["logprobs"][n - 1 :],
            }
            if "raw" in after and (raw := after["raw"].removeprefix(before["raw"])) != completion:
                output["raw"] = raw
            outputs.append({name: value for name, value in output.items() if value is not None})
        first_of_chat = n == 1 and not isinstance(body["prompt"], str)
        return {"outputs": outputs} | ({"input": self._chat_input(body)} if first_of_chat else {})

    def _stream(self, body: dict[str, Any], frame: Any) -> Response:
        total, deltas = body["n_completion_tokens"], body.get("stream_deltas", False)

        async def events() -> AsyncIterator[bytes]:
            try:
                for n in range(1, total + 1):
                    if n - 1 == self.break_after:
                        raise ConnectionError("cut off on demand")
                    await self._frame_delay()
                    if n - 1 == self.end_after:
                        return
                    if n - 1 == self.error_after:
                        yield f"event: error\ndata: {json.dumps(self.stream_error)}\n\n".encode()
                        return
                    self.frames_sent += 1
                    data = self._delta(body, frame, n) if deltas else frame(n)
                    head = "event: delta\n" if deltas else ""
                    yield f"{head}data: {json.dumps(data, ensure_ascii=False)}\n\n".encode()
                if deltas:
                    yield f"data: {json.dumps(frame(total), ensure_ascii=False)}\n\n".encode()
            except (asyncio.CancelledError, GeneratorExit):
                self.streams_closed += 1
                raise

        return StreamingResponse(events(), media_type="text/event-stream")
