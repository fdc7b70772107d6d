"""Which token of a written conversation belongs to which message, and to which part of it.

A template is a program, so parts are found by running it. Contents are told by marks: characters that occur nowhere
else are put around each content, and show in the written text where it went. A special token in a content is content,
whatever it is elsewhere. What stands between two contents is the footer of one message and the header of the next; the
footer is what the template writes behind a conversation that ends there.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Literal

from memicos_engine.errors import InvalidRequestError
from memicos_engine.model.chat_template import render_chat
from memicos_engine.model.language_model import LanguageModel

SectionKind = Literal["header", "content", "footer", "scaffold"]
Message = Mapping[str, str]
ChatRenderer = Callable[[Sequence[Message], bool], str]
"""From messages, and whether the assistant's turn is opened, to text."""

_FIRST_MARK = 0xF0000
"""Where a plane of characters begins that are nobody's."""


@dataclass(frozen=True)
class TokenSection:
    """`message` is None in a scaffold: a BOS, a system message of the template's own, the opened assistant's turn."""

    kind: SectionKind
    message: int | None


@dataclass(frozen=True)
class SectionedChat:
    """A conversation as text and tokens; `places`: one a token, that of most of its characters."""

    text: str
    ids: list[int]
    sections: list[TokenSection]


def split_sections(
    model: LanguageModel,
    messages: Sequence[Message],
    add_generation_prompt: bool = True,
    options: Mapping[str, Any] | None = None,
    check: Callable[[list[int]], None] = lambda ids: None,
) -> SectionedChat:
    """`messages` as `chat.render` reads them, with the place of each token.

    `check` is called with the tokens before their places are looked for, which takes several runs of the template.

    A content that the template rewrites (more than trimming it, or cutting off its beginning or end) can't be
    followed, and is looked for word by word; where that fails it belongs to what is around it.

    Raises:
        InvalidRequestError: as `chat.write`, or a tokenizer that doesn't say where its tokens are.
    """
    if not model.tokenizer.is_fast:
        raise InvalidRequestError("This model's tokenizer does not say where in a text its tokens are.")

    def writer(some: Sequence[Message], generation: bool) -> str:
        return render_chat(model, some, generation, options)

    text = writer(messages, add_generation_prompt)
    cut: Any = model.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    ids: list[int] = cut["input_ids"]
    check(ids)
    bos = "" if model.bos_token_id is None else model.decode([model.bos_token_id])
    parts = _section_starts(writer, messages, text, add_generation_prompt, bos)
    return SectionedChat(text, ids, [_section_at(parts, first, end) for first, end in cut["offset_mapping"]])


def _section_starts(
    writer: ChatRenderer, messages: Sequence[Message], text: str, generation: bool, bos: str
) -> list[tuple[int, TokenSection]]:
    """The parts of `text` in order, each from its first character on; the first from 0."""
    found = _content_ranges(writer, messages, text, generation)
    order = sorted((first, end, i) for i, (first, end) in found.items())
    if not order:
        return [(0, TokenSection("scaffold", None))]
    first, _, i = order[0]
    header = _header(writer, messages[i])
    if header and text[:first].endswith(header):
        begin = first - len(header)
    else:
        begin = len(bos) if bos and text.startswith(bos) else 0
    parts = [(0, TokenSection("scaffold", None)), (begin, TokenSection("header", i))]
    footers: dict[str, str] = {}
    for (first, end, i), following in zip(order, [*order[1:], None], strict=True):
        role = messages[i]["role"]
        if role not in footers:
            footers[role] = _footer(writer, messages[: i + 1])
        gap = text[end : following[0] if following else None]
        behind = end + _common_prefix_length(gap, footers[role])
        parts += [(first, TokenSection("content", i)), (end, TokenSection("footer", i))]
        parts.append((behind, TokenSection("header", following[2]) if following else TokenSection("scaffold", None)))
    return parts


def _section_at(parts: Sequence[tuple[int, TokenSection]], first: int, end: int) -> TokenSection:
    """The place of most of the characters from `first` to `end`; of as many, the later."""
    number = bisect_right(parts, first, key=itemgetter(0)) - 1
    best, most = parts[number][1], 0
    while first < end:
        until = min(end, parts[number + 1][0]) if number + 1 < len(parts) else end
        if until - first >= most and until > first:
            best, most = parts[number][1], until - first
        first, number = until, number + 1
    return best


def _content_ranges(
    writer: ChatRenderer, messages: Sequence[Message], text: str, generation: bool
) -> dict[int, tuple[int, int]]:
    """Where in `text` each content begins and ends; without those that can't be found."""
    for trimmed in (False, True):
        marked = _MarkedMessages(messages, trimmed)
        try:
            shown = writer(marked.messages, generation)
        except InvalidRequestError:  # a template may look at how a content begins
            continue
        if marked.without(shown) == text:
            return marked.ranges(shown)
    found: dict[int, tuple[int, int]] = {}
    behind = 0
    for i, message in enumerate(messages):
        content = message["content"].strip()
        at = text.find(content, behind)
        if content and at >= 0:
            behind = at + len(content)
            found[i] = (at, behind)
    return found


class _MarkedMessages:
    """`messages` with a mark of its own at the beginning and end of each content, or, `trimmed`, of what of it is not
    outer white space."""

    def __init__(self, messages: Sequence[Message], trimmed: bool) -> None:
        used = {letter for message in messages for value in message.values() for letter in value}
        free = (chr(code) for code in range(_FIRST_MARK, 0x110000) if chr(code) not in used)
        self._marks: dict[str, int] = {}
        """2 i opens message i, 2 i + 1 closes it."""
        self.messages: list[Message] = []
        for message in messages:
            content = message["content"]
            core = content.strip() if trimmed else content
            before, _, after = content.partition(core) if core else (content, "", "")
            opening, closing = next(free), next(free)
            self._marks |= {opening: len(self._marks), closing: len(self._marks) + 1}
            self.messages.append({**message, "content": f"{before}{opening}{core}{closing}{after}"})
        self._cores = [message["content"].strip() if trimmed else message["content"] for message in messages]
        self._any = re.compile(f"[{''.join(self._marks)}]")

    def without(self, shown: str) -> str:
        return self._any.sub("", shown)

    def ranges(self, shown: str) -> dict[int, tuple[int, int]]:
        """Where the contents are in `shown` without marks. A content may have lost its beginning or its end."""
        at: dict[int, int] = {}
        for count, found in enumerate(self._any.finditer(shown)):
            at.setdefault(self._marks[found.group()], found.start() - count)
        bare = self.without(shown)
        ranges: dict[int, tuple[int, int]] = {}
        for i, core in enumerate(self._cores):
            first, end = at.get(2 * i), at.get(2 * i + 1)
            if first is None and end is not None:
                first = end - _common_prefix_length(bare[:end][::-1], core[::-1])
            elif end is None and first is not None:
                end = first + _common_prefix_length(bare[first:], core)
            if first is not None and end is not None and first <= end:
                ranges[i] = (first, end)
        return ranges


def _footer(writer: ChatRenderer, messages: Sequence[Message]) -> str:
    """What is written behind the last content of a conversation; "" where that can't be told."""
    try:
        text = writer(messages, False)
        found = _content_ranges(writer, messages, text, False)
    except InvalidRequestError:
        return ""
    last = found.get(len(messages) - 1)
    return "" if last is None else text[last[1] :]


def _header(writer: ChatRenderer, message: Message) -> str:
    """What is written before `message` where it isn't the first; "" where that can't be told."""
    other = {"role": "assistant" if message["role"] == "user" else "user", "content": "x"}
    three = [message, other, message]
    try:
        text = writer(three, False)
        found = _content_ranges(writer, three, text, False)
        footer = _footer(writer, three[:2])
    except InvalidRequestError:
        return ""
    if found.keys() != {0, 1, 2}:
        return ""
    return text[found[1][1] : found[2][0]].removeprefix(footer)


def _common_prefix_length(one: str, other: str) -> int:
    """How many characters both begin with."""
    for count, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return count
    return min(len(one), len(other))
