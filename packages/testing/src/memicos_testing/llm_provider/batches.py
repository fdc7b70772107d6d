"""Files and batches of the test's provider of language models: OpenAI's Batch API, and its failures on demand."""

import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any
from urllib.parse import parse_qs, urlsplit

PATH = re.compile(r"/v1/(files|batches)(?:/([\w-]+))?(?:/(content|cancel))?$")
PAGE = 2
"""Batches in one page of a list, so that clients have to read several."""
HANG_SECONDS = 120
ENDED = ("completed", "failed", "expired", "cancelled")


@dataclass
class StoredBatch:
    """A batch; `lines` are those of its file, `results` one for each that was answered."""

    id: str
    name: str
    lines: list[dict[str, Any]]
    status: str = "validating"
    output: list[dict[str, Any]] = field(default_factory=list)
    errors: list[dict[str, Any]] = field(default_factory=list)
    problem: str | None = None


@dataclass(frozen=True)
class BatchReply:
    """A response; bytes are sent as they are."""

    status: int
    body: Any


class LlmBatches:
    """The batches of a provider. A batch goes one state further each time that it is read, and is answered then.

    Attributes:
        held: batches stay in progress until this is False.
        answers_per_read: requests that are answered at each read; None: all.
        expire_after: requests that are answered before the batch expires; None: it completes.
        refuse: why the provider refuses a batch after it was made; None: it takes it.
        forget: numbers of lines that no file has an answer to.
        lose_next: paths whose next request gets no answer, although it is carried out.
        fail_next: path and statuses of the next responses, which are not carried out.
        answer_next: path and bodies of the next responses, likewise.
        hang_next: path, and whether its next request is carried out; it is never answered. `hung` is set then.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._reset = threading.Event()
        self.hung = threading.Event()
        self.reset()

    def reset(self) -> None:
        self.held = False
        self.answers_per_read: int | None = None
        self.expire_after: int | None = None
        self.refuse: str | None = None
        self.forget: set[int] = set()
        self.lose_next: list[str] = []
        self.fail_next: dict[str, list[int]] = {}
        self.answer_next: dict[str, list[bytes]] = {}
        self.hang_next: dict[str, bool] = {}
        self._reset.set()
        self._reset = threading.Event()
        self.hung.clear()
        self.batches: dict[str, StoredBatch] = {}
        self.files: dict[str, bytes] = {}
        self.keys: set[str | None] = set()

    @staticmethod
    def is_path(path: str) -> bool:
        return PATH.match(urlsplit(path).path) is not None

    def answer(
        self,
        method: str,
        path: str,
        headers: dict[str, str],
        body: bytes,
        ask: Callable[[str, Any], tuple[int, Any]],
    ) -> BatchReply | None:
        """The response to a request; None: the connection is closed without one.

        Args:
            ask: status and body of the answer to a request of a batch.
        """
        parts = urlsplit(path)
        found = PATH.match(parts.path)
        assert found is not None
        what, number, action = found.groups()
        with self._lock:
            self.keys.add(headers.get("authorization"))
            route = f"{method} {what}{'/' + action if action else ''}"
            hangs, carried_out = route in self.hang_next, self.hang_next.pop(route, True)
            if statuses := self.fail_next.get(route):
                status = statuses.pop(0)
                return BatchReply(status, {"error": {"message": f"scripted failure {status}", "code": None}})
            if bodies := self.answer_next.get(route):
                return BatchReply(200, bodies.pop(0))
            reply = None
            if carried_out:
                reply = self._route(method, what, number, action, parse_qs(parts.query), headers, body, ask)
            if route in self.lose_next:
                self.lose_next.remove(route)
                return None
        if hangs:
            self.hung.set()
            # as long as a test waits for it at most
            self._reset.wait(HANG_SECONDS)
            return None
        return reply

    def _route(
        self,
        method: str,
        what: str,
        number: str | None,
        action: str | None,
        query: dict[str, list[str]],
        headers: dict[str, str],
        body: bytes,
        ask: Callable[[str, Any], tuple[int, Any]],
    ) -> BatchReply:
        match method, what, number, action:
            case "POST", "files", None, None:
                return self._upload(headers, body)
            case "GET", "files", str(), "content" if number in self.files:
                return BatchReply(200, self.files[number])
            case "POST", "batches", None, None:
                return self._create(json.loads(body))
            case "GET", "batches", None, None:
                return self._list(query)
            case "GET", "batches", str(), None if number in self.batches:
                batch = self.batches[number]
                self._advance(batch, ask)
                return BatchReply(200, self._json(batch))
            case "POST", "batches", str(), "cancel" if number in self.batches:
                batch = self.batches[number]
                if batch.status not in ENDED:
                    batch.status = "cancelling"
                return BatchReply(200, self._json(batch))
        return BatchReply(404, {"error": {"message": f"no such path {what}/{number}", "code": None}})

    def _upload(self, headers: dict[str, str], body: bytes) -> BatchReply:
        message = BytesParser(policy=HTTP).parsebytes(
            b"Content-Type: " + headers["content-type"].encode() + b"\r\n\r\n" + body
        )
        fields = {
            part.get_param("name", header="content-disposition"): part.get_payload(decode=True)
            for part in message.iter_parts()
            if isinstance(part, EmailMessage)
        }
        content = fields["file"]
        assert fields["purpose"] == b"batch" and isinstance(content, bytes)
        number = f"file-{len(self.files)}"
        self.files[number] = content
        return BatchReply(
            200, {"id": number, "object": "file", "purpose": "batch", "filename": "f", "bytes": len(content),
                  "created_at": 0, "status": "processed"},
        )  # fmt: skip

    def _create(self, body: dict[str, Any]) -> BatchReply:
        assert (body["endpoint"], body["completion_window"]) == ("/v1/chat/completions", "24h")
        lines = [json.loads(line) for line in self.files[body["input_file_id"]].splitlines()]
        ids = [line["custom_id"] for line in lines]
        assert len(ids) == len(set(ids)) and all(line["url"] == body["endpoint"] for line in lines)
        batch = StoredBatch(f"batch-{len(self.batches)}", body["metadata"]["memicos_batch"], lines)
        self.batches[batch.id] = batch
        return BatchReply(200, self._json(batch))

    def _list(self, query: dict[str, list[str]]) -> BatchReply:
        """The newest first."""
        ids = list(reversed(self.batches))
        after = query.get("after", [None])[0]
        start = ids.index(after) + 1 if after else 0
        page = ids[start : start + PAGE]
        data = [self._json(self.batches[number]) for number in page]
        return BatchReply(
            200, {"object": "list", "data": data, "has_more": start + PAGE < len(ids),
                  "first_id": page[0] if page else None, "last_id": page[-1] if page else None},
        )  # fmt: skip

    def _advance(self, batch: StoredBatch, ask: Callable[[str, Any], tuple[int, Any]]) -> None:
        if batch.status in ENDED:
            return
        if batch.status == "cancelling":
            self._end(batch, "cancelled", "batch_cancelled")
        elif self.refuse is not None:
            batch.status, batch.problem = "failed", self.refuse
        elif batch.status == "validating":
            batch.status = "in_progress"
        elif not self.held:
            self._answer_lines(batch, ask)

    def _answer_lines(self, batch: StoredBatch, ask: Callable[[str, Any], tuple[int, Any]]) -> None:
        done = len(batch.output) + len(batch.errors)
        last = len(batch.lines) if self.expire_after is None else min(self.expire_after, len(batch.lines))
        stop = last if self.answers_per_read is None else min(done + self.answers_per_read, last)
        for line in batch.lines[done:stop]:
            status, body = ask(line["url"], line["body"])
            result = {
                "id": f"batch_req_{line['custom_id'][:8]}",
                "custom_id": line["custom_id"],
                "response": {"status_code": status, "request_id": "r", "body": body},
                "error": None,
            }
            (batch.output if status == 200 else batch.errors).append(result)
        if stop == last:
            self._end(batch, "expired" if last < len(batch.lines) else "completed", "batch_expired")

    def _end(self, batch: StoredBatch, status: str, code: str) -> None:
        done = len(batch.output) + len(batch.errors)
        for line in batch.lines[done:]:
            error = {"code": code, "message": f"This request was not executed ({code})."}
            batch.errors.append({"id": "r", "custom_id": line["custom_id"], "response": None, "error": error})
        batch.status = status
        forgotten = {batch.lines[number]["custom_id"] for number in self.forget}
        for name, results in (("output", batch.output), ("errors", batch.errors)):
            # in another order than the requests
            kept = [json.dumps(result) for result in reversed(results) if result["custom_id"] not in forgotten]
            if kept:
                self.files[f"{batch.id}-{name}"] = "\n".join(kept).encode()

    def _json(self, batch: StoredBatch) -> dict[str, Any]:
        names = {name: f"{batch.id}-{name}" for name in ("output", "errors")}
        answered = {name: number if number in self.files else None for name, number in names.items()}
        problems = [{"code": "invalid", "line": 1, "message": batch.problem, "param": None}] if batch.problem else []
        return {
            "id": batch.id,
            "object": "batch",
            "endpoint": "/v1/chat/completions",
            "completion_window": "24h",
            "created_at": 0,
            "input_file_id": "f",
            "status": batch.status,
            "metadata": {"memicos_batch": batch.name},
            "output_file_id": answered["output"],
            "error_file_id": answered["errors"],
            "errors": {"object": "list", "data": problems} if problems else None,
            "request_counts": {
                "total": len(batch.lines),
                "completed": len(batch.output),
                "failed": len(batch.errors),
            },
        }
