"""Assign each token of a rendered chat to a message and to its header, content or footer.

A chat template is a program, so sections are found by running it. Each content is enclosed in marker characters that
occur nowhere else; their positions in the rendered text are the bounds of the content. A special token inside a content
counts as content. Text between two contents is the footer of one message and the header of the next; the footer is what
the template renders after a conversation that ends with that message.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Literal

from memicos_engine.errors import InvalidRequestError
from memicos_engine.model.chat.chat_template import render_chat
from memicos_engine.model.language_model import LanguageModel

SectionKind = Literal["header", "content", "footer", "scaffold"]
Message = Mapping[str, str]
ChatRenderer = Callable[[Sequence[Message], bool], str]
"""Renders messages as text; the second argument says whether to open the assistant's turn."""

_FIRST_MARKER = 0xF0000
"""First code point of Unicode's private use planes, which no text normally contains."""


@dataclass(frozen=True)
class TokenSection:
    """The section of a token.

    `message` is the index of its message; None in a scaffold: BOS, the template's own system message, the opened
    assistant's turn.
    """

    kind: SectionKind
    message: int | None


@dataclass(frozen=True)
class SectionedChat:
    """A conversation as text and tokens. `sections` has one entry per token: the section of most of its characters."""

    text: str
    ids: list[int]
    sections: list[TokenSection]


def split_sections(
    model: LanguageModel,
    messages: Sequence[Message],
    add_generation_prompt: bool = True,
    options: Mapping[str, Any] | None = None,
    check: Callable[[list[int]], None] = lambda ids: None,
    check_text: Callable[[str], None] = lambda text: None,
) -> SectionedChat:
    """Render `messages` with the chat template and find the section of each token.

    `check_text` is called with the text before it is tokenized, and `check` with the token ids before the sections are
    searched for, which takes several runs of the template.

    The markers are lost where a template rewrites a content (more than trimming it, or cutting off its beginning or
    end). Such a content is searched for as a substring; if it isn't found, it belongs to the sections around it.

    Raises:
        InvalidRequestError: as `render_chat`, or the tokenizer gives no character offsets.
    """
    if not model.tokenizer.is_fast:
        raise InvalidRequestError(
            "This model's tokenizer gives no character offsets of its tokens, so chat sections cannot be found."
        )

    def render(chat: Sequence[Message], open_assistant_turn: bool) -> str:
        return render_chat(model, chat, open_assistant_turn, options)

    text = render(messages, add_generation_prompt)
    check_text(text)
    encoding: Any = model.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    ids: list[int] = encoding["input_ids"]
    check(ids)
    bos = "" if model.bos_token_id is None else model.decode([model.bos_token_id])
    starts = _section_starts(render, messages, text, add_generation_prompt, bos)
    return SectionedChat(text, ids, [_section_at(starts, first, end) for first, end in encoding["offset_mapping"]])


def _section_starts(
    render: ChatRenderer, messages: Sequence[Message], text: str, generation: bool, bos: str
) -> list[tuple[int, TokenSection]]:
    """(index of the first character, section) of each section of `text`, in order; the first index is 0."""
    ranges = _content_ranges(render, messages, text, generation)
    order = sorted((first, end, i) for i, (first, end) in ranges.items())
    if not order:
        return [(0, TokenSection("scaffold", None))]
    first, _, i = order[0]
    header = _header(render, messages[i])
    if header and text[:first].endswith(header):
        begin = first - len(header)
    else:
        begin = len(bos) if bos and text.startswith(bos) else 0
    sections = [(0, TokenSection("scaffold", None)), (begin, TokenSection("header", i))]
    footers: dict[str, str] = {}
    for (first, end, i), following in zip(order, [*order[1:], None], strict=True):
        role = messages[i]["role"]
        if role not in footers:
            footers[role] = _footer(render, messages[: i + 1])
        gap = text[end : following[0] if following else None]
        footer_end = end + _common_prefix_length(gap, footers[role])
        sections += [(first, TokenSection("content", i)), (end, TokenSection("footer", i))]
        sections.append(
            (footer_end, TokenSection("header", following[2]) if following else TokenSection("scaffold", None))
        )
    return sections


def _section_at(sections: Sequence[tuple[int, TokenSection]], first: int, end: int) -> TokenSection:
    """The section of most of the characters from `first` to `end`; the later one of a tie."""
    number = bisect_right(sections, first, key=itemgetter(0)) - 1
    section, longest = sections[number][1], 0
    while first < end:
        until = min(end, sections[number + 1][0]) if number + 1 < len(sections) else end
        if until - first >= longest and until > first:
            section, longest = sections[number][1], until - first
        first, number = until, number + 1
    return section


def _content_ranges(
    render: ChatRenderer, messages: Sequence[Message], text: str, generation: bool
) -> dict[int, tuple[int, int]]:
    """First and end character in `text` of each content by the message's index, without contents that aren't found."""
    for trimmed in (False, True):
        marked = _MarkedMessages(messages, trimmed)
        try:
            rendered = render(marked.messages, generation)
        except InvalidRequestError:  # a template may test how a content begins
            continue
        if marked.remove_markers(rendered) == text:
            return marked.ranges(rendered)
    ranges: dict[int, tuple[int, int]] = {}
    search_from = 0
    for i, message in enumerate(messages):
        content = message["content"].strip()
        first = text.find(content, search_from)
        if content and first >= 0:
            search_from = first + len(content)
            ranges[i] = (first, search_from)
    return ranges


class _MarkedMessages:
    """`messages` with unique marker characters around each content; with `trimmed`, inside its outer white space."""

    def __init__(self, messages: Sequence[Message], trimmed: bool) -> None:
        used = {letter for message in messages for value in message.values() for letter in value}
        free = (chr(code) for code in range(_FIRST_MARKER, 0x110000) if chr(code) not in used)
        self._markers: dict[str, int] = {}
        """Number of each marker: 2 i opens message i, 2 i + 1 closes it."""
        self.messages: list[Message] = []
        for message in messages:
            content = message["content"]
            core = content.strip() if trimmed else content
            before, _, after = content.partition(core) if core else (content, "", "")
            opening, closing = next(free), next(free)
            self._markers |= {opening: len(self._markers), closing: len(self._markers) + 1}
            self.messages.append({**message, "content": f"{before}{opening}{core}{closing}{after}"})
        self._cores = [message["content"].strip() if trimmed else message["content"] for message in messages]
        self._pattern = re.compile(f"[{''.join(self._markers)}]")

    def remove_markers(self, rendered: str) -> str:
        return self._pattern.sub("", rendered)

    def ranges(self, rendered: str) -> dict[int, tuple[int, int]]:
        """First and end character of each content in `rendered` without markers. A content may lack its beginning or
        its end."""
        at: dict[int, int] = {}
        for count, match in enumerate(self._pattern.finditer(rendered)):
            at.setdefault(self._markers[match.group()], match.start() - count)
        plain_text = self.remove_markers(rendered)
        ranges: dict[int, tuple[int, int]] = {}
        for i, core in enumerate(self._cores):
            first, end = at.get(2 * i), at.get(2 * i + 1)
            if first is None and end is not None:
                first = end - _common_prefix_length(plain_text[:end][::-1], core[::-1])
            elif end is None and first is not None:
                end = first + _common_prefix_length(plain_text[first:], core)
            if first is not None and end is not None and first <= end:
                ranges[i] = (first, end)
        return ranges


def _footer(render: ChatRenderer, messages: Sequence[Message]) -> str:
    """The rendered text after the last content of a conversation; "" if that content isn't found."""
    try:
        text = render(messages, False)
        ranges = _content_ranges(render, messages, text, False)
    except InvalidRequestError:
        return ""
    last = ranges.get(len(messages) - 1)
    return "" if last is None else text[last[1] :]


def _header(render: ChatRenderer, message: Message) -> str:
    """The rendered text before `message` where it isn't the first message; "" if contents aren't found."""
    other = {"role": "assistant" if message["role"] == "user" else "user", "content": "x"}
    chat = [message, other, message]
    try:
        text = render(chat, False)
        ranges = _content_ranges(render, chat, text, False)
        footer = _footer(render, chat[:2])
    except InvalidRequestError:
        return ""
    if ranges.keys() != {0, 1, 2}:
        return ""
    return text[ranges[1][1] : ranges[2][0]].removeprefix(footer)


def _common_prefix_length(left: str, right: str) -> int:
    for count, (a, b) in enumerate(zip(left, right, strict=False)):
        if a != b:
            return count
    return min(len(left), len(right))
