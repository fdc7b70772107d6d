from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.output_delta_finished_type_0 import (
    OutputDeltaFinishedType0,
    check_output_delta_finished_type_0,
)
from ..models.output_delta_type import OutputDeltaType, check_output_delta_type
from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.token_logprob import TokenLogprob


T = TypeVar("T", bound="OutputDelta")


@_attrs_define
class OutputDelta:
    """New part of an output. All parts concatenated equal `completion`, `token_ids` and `logprobs` of the response.

    A character that spans several tokens is sent with the last of them, so `completion` may be empty.

        Attributes:
            type_ (OutputDeltaType): `STEERED`: generated with the steering directions; `DEFAULT`: without them.
            completion (str): Text generated since the previous delta, without the token that ended it.
            token_ids (list[int]): Vocabulary id of each token generated since the previous delta.
            raw (None | str | Unset): In a chat, the new text with the token that ended it; null if it equals `completion`.
            finished (None | OutputDeltaFinishedType0 | Unset): Why generation ended: `eos` (end-of-sequence token) or
                `length` (`n_completion_tokens` reached); null while it continues.
            logprobs (list[TokenLogprob] | None | Unset): Log-probabilities of each new token; null if `n_logprobs` is 0.
    """

    type_: OutputDeltaType
    completion: str
    token_ids: list[int]
    raw: None | str | Unset = UNSET
    finished: None | OutputDeltaFinishedType0 | Unset = UNSET
    logprobs: list[TokenLogprob] | None | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        type_: str = self.type_

        completion = self.completion

        token_ids = self.token_ids

        raw: None | str | Unset
        if isinstance(self.raw, Unset):
            raw = UNSET
        else:
            raw = self.raw

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
                "completion": completion,
                "token_ids": token_ids,
            }
        )
        if raw is not UNSET:
            field_dict["raw"] = raw
        if finished is not UNSET:
            field_dict["finished"] = finished
        if logprobs is not UNSET:
            field_dict["logprobs"] = logprobs

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.token_logprob import TokenLogprob  # noqa: PLC0415

        d = dict(src_dict)
        type_ = check_output_delta_type(d.pop("type"))

        completion = d.pop("completion")

        token_ids = cast(list[int], d.pop("token_ids"))

        def _parse_raw(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        raw = _parse_raw(d.pop("raw", UNSET))

        def _parse_finished(data: object) -> None | OutputDeltaFinishedType0 | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                finished_type_0 = check_output_delta_finished_type_0(data)

                return finished_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | OutputDeltaFinishedType0 | Unset, data)

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

        output_delta = cls(
            type_=type_,
            completion=completion,
            token_ids=token_ids,
            raw=raw,
            finished=finished,
            logprobs=logprobs,
        )

        output_delta.additional_properties = d
        return output_delta

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
