from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.chat_output_finished_type_0 import (
    ChatOutputFinishedType0,
    check_chat_output_finished_type_0,
)
from ..models.chat_output_type import ChatOutputType, check_chat_output_type
from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.chat_message import ChatMessage
    from ..models.token_logprob import TokenLogprob


T = TypeVar("T", bound="ChatOutput")


@_attrs_define
class ChatOutput:
    """Assistant's turn, or its continuation, generated for one type.

    Attributes:
        type_ (ChatOutputType): `STEERED`: generated with the steering directions; `DEFAULT`: without them.
        chat_template (list[ChatMessage]): Messages of the request, and the assistant's turn; with
            `continue_final_message` the last message has the generated text at its end.
        raw (str): Rendered prompt and completion, with the token that ended it.
        completion (str): Generated text of the assistant's turn, without the token that ended it.
        token_ids (list[int]): Vocabulary id of each generated token, the final end-of-sequence token included if there
            is one.
        finished (ChatOutputFinishedType0 | None | Unset): Why generation ended: `eos` (end-of-sequence token) or
            `length` (`n_completion_tokens` reached); null while it continues.
        logprobs (list[TokenLogprob] | None | Unset): Log-probabilities of each generated token, one entry per token;
            null if `n_logprobs` is 0.
    """

    type_: ChatOutputType
    chat_template: list[ChatMessage]
    raw: str
    completion: str
    token_ids: list[int]
    finished: ChatOutputFinishedType0 | None | Unset = UNSET
    logprobs: list[TokenLogprob] | None | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        type_: str = self.type_

        chat_template = []
        for chat_template_item_data in self.chat_template:
            chat_template_item = chat_template_item_data.to_dict()
            chat_template.append(chat_template_item)

        raw = self.raw

        completion = self.completion

        token_ids = self.token_ids

        finished: None | str | Unset
        if isinstance(self.finished, Unset):
            finished = UNSET
        elif isinstance(self.finished, str):
            finished = self.finished
        else:
            finished = self.finished

        logprobs: list[dict[str, Any]] | None | Unset
        if isinstance(self.logprobs, Unset):
            logprobs = UNSET
        elif isinstance(self.logprobs, list):
            logprobs = []
            for logprobs_type_0_item_data in self.logprobs:
                logprobs_type_0_item = logprobs_type_0_item_data.to_dict()
                logprobs.append(logprobs_type_0_item)

        else:
            logprobs = self.logprobs

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "type": type_,
                "chat_template": chat_template,
                "raw": raw,
                "completion": completion,
                "token_ids": token_ids,
            }
        )
        if finished is not UNSET:
            field_dict["finished"] = finished
        if logprobs is not UNSET:
            field_dict["logprobs"] = logprobs

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.chat_message import ChatMessage  # noqa: PLC0415
        from ..models.token_logprob import TokenLogprob  # noqa: PLC0415

        d = dict(src_dict)
        type_ = check_chat_output_type(d.pop("type"))

        chat_template = []
        _chat_template = d.pop("chat_template")
        for chat_template_item_data in _chat_template:
            chat_template_item = ChatMessage.from_dict(chat_template_item_data)

            chat_template.append(chat_template_item)

        raw = d.pop("raw")

        completion = d.pop("completion")

        token_ids = cast(list[int], d.pop("token_ids"))

        def _parse_finished(data: object) -> ChatOutputFinishedType0 | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                finished_type_0 = check_chat_output_finished_type_0(data)

                return finished_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(ChatOutputFinishedType0 | None | Unset, data)

        finished = _parse_finished(d.pop("finished", UNSET))

        def _parse_logprobs(data: object) -> list[TokenLogprob] | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, list):
                    raise TypeError()
                logprobs_type_0 = []
                _logprobs_type_0 = data
                for logprobs_type_0_item_data in _logprobs_type_0:
                    logprobs_type_0_item = TokenLogprob.from_dict(logprobs_type_0_item_data)

                    logprobs_type_0.append(logprobs_type_0_item)

                return logprobs_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(list[TokenLogprob] | None | Unset, data)

        logprobs = _parse_logprobs(d.pop("logprobs", UNSET))

        chat_output = cls(
            type_=type_,
            chat_template=chat_template,
            raw=raw,
            completion=completion,
            token_ids=token_ids,
            finished=finished,
            logprobs=logprobs,
        )

        chat_output.additional_properties = d
        return chat_output

    @property
    def additional_keys(self) -> list[str]:
        return list(self.additional_properties.keys())

    def __getitem__(self, key: str) -> Any:
        return self.additional_properties[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.additional_properties[key] = value

    def __delitem__(self, key: str) -> None:
        del self.additional_properties[key]

    def __contains__(self, key: str) -> bool:
        return key in self.additional_properties
