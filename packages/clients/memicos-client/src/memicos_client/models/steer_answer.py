from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.token_counts import TokenCounts
    from ..models.token_logprob import TokenLogprob


T = TypeVar("T", bound="SteerAnswer")


@_attrs_define
class SteerAnswer:
    """Completions without the prompt.

    Attributes:
        id (None | str | Unset): null: runs are not stored
        share_url (None | str | Unset): the steer page with these settings
        limit (None | str | Unset): requests left in this window; null where none is set
        tokens (None | TokenCounts | Unset): number of tokens generated so far, by output
        steered (None | str | Unset): text generated with steering
        default (None | str | Unset): text generated without steering
        steered_log_probs (list[TokenLogprob] | None | Unset): one for each token of STEERED
        default_log_probs (list[TokenLogprob] | None | Unset): one for each token of DEFAULT
    """

    id: None | str | Unset = UNSET
    share_url: None | str | Unset = UNSET
    limit: None | str | Unset = UNSET
    tokens: None | TokenCounts | Unset = UNSET
    steered: None | str | Unset = UNSET
    default: None | str | Unset = UNSET
    steered_log_probs: list[TokenLogprob] | None | Unset = UNSET
    default_log_probs: list[TokenLogprob] | None | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.token_counts import TokenCounts  # noqa: PLC0415

        id: None | str | Unset
        if isinstance(self.id, Unset):
            id = UNSET
        else:
            id = self.id

        share_url: None | str | Unset
        if isinstance(self.share_url, Unset):
            share_url = UNSET
        else:
            share_url = self.share_url

        limit: None | str | Unset
        if isinstance(self.limit, Unset):
            limit = UNSET
        else:
            limit = self.limit

        tokens: dict[str, Any] | None | Unset
        if isinstance(self.tokens, Unset):
            tokens = UNSET
        elif isinstance(self.tokens, TokenCounts):
            tokens = self.tokens.to_dict()
        else:
            tokens = self.tokens

        steered: None | str | Unset
        if isinstance(self.steered, Unset):
            steered = UNSET
        else:
            steered = self.steered

        default: None | str | Unset
        if isinstance(self.default, Unset):
            default = UNSET
        else:
            default = self.default

        steered_log_probs: list[dict[str, Any]] | None | Unset
        if isinstance(self.steered_log_probs, Unset):
            steered_log_probs = UNSET
        elif isinstance(self.steered_log_probs, list):
            steered_log_probs = []
            for steered_log_probs_type_0_item_data in self.steered_log_probs:
                steered_log_probs_type_0_item = steered_log_probs_type_0_item_data.to_dict()
                steered_log_probs.append(steered_log_probs_type_0_item)

        else:
            steered_log_probs = self.steered_log_probs

        default_log_probs: list[dict[str, Any]] | None | Unset
        if isinstance(self.default_log_probs, Unset):
            default_log_probs = UNSET
        elif isinstance(self.default_log_probs, list):
            default_log_probs = []
            for default_log_probs_type_0_item_data in self.default_log_probs:
                default_log_probs_type_0_item = default_log_probs_type_0_item_data.to_dict()
                default_log_probs.append(default_log_probs_type_0_item)

        else:
            default_log_probs = self.default_log_probs

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update({})
        if id is not UNSET:
            field_dict["id"] = id
        if share_url is not UNSET:
            field_dict["shareUrl"] = share_url
        if limit is not UNSET:
            field_dict["limit"] = limit
        if tokens is not UNSET:
            field_dict["tokens"] = tokens
        if steered is not UNSET:
            field_dict["STEERED"] = steered
        if default is not UNSET:
            field_dict["DEFAULT"] = default
        if steered_log_probs is not UNSET:
            field_dict["steeredLogProbs"] = steered_log_probs
        if default_log_probs is not UNSET:
            field_dict["defaultLogProbs"] = default_log_probs

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.token_counts import TokenCounts  # noqa: PLC0415
        from ..models.token_logprob import TokenLogprob  # noqa: PLC0415

        d = dict(src_dict)

        def _parse_id(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        id = _parse_id(d.pop("id", UNSET))

        def _parse_share_url(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        share_url = _parse_share_url(d.pop("shareUrl", UNSET))

        def _parse_limit(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        limit = _parse_limit(d.pop("limit", UNSET))

        def _parse_tokens(data: object) -> None | TokenCounts | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                tokens_type_0 = TokenCounts.from_dict(data)

                return tokens_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | TokenCounts | Unset, data)

        tokens = _parse_tokens(d.pop("tokens", UNSET))

        def _parse_steered(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        steered = _parse_steered(d.pop("STEERED", UNSET))

        def _parse_default(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        default = _parse_default(d.pop("DEFAULT", UNSET))

        def _parse_steered_log_probs(data: object) -> list[TokenLogprob] | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, list):
                    raise TypeError()
                steered_log_probs_type_0 = []
                _steered_log_probs_type_0 = data
                for steered_log_probs_type_0_item_data in _steered_log_probs_type_0:
                    steered_log_probs_type_0_item = TokenLogprob.from_dict(steered_log_probs_type_0_item_data)

                    steered_log_probs_type_0.append(steered_log_probs_type_0_item)

                return steered_log_probs_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(list[TokenLogprob] | None | Unset, data)

        steered_log_probs = _parse_steered_log_probs(d.pop("steeredLogProbs", UNSET))

        def _parse_default_log_probs(data: object) -> list[TokenLogprob] | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, list):
                    raise TypeError()
                default_log_probs_type_0 = []
                _default_log_probs_type_0 = data
                for default_log_probs_type_0_item_data in _default_log_probs_type_0:
                    default_log_probs_type_0_item = TokenLogprob.from_dict(default_log_probs_type_0_item_data)

                    default_log_probs_type_0.append(default_log_probs_type_0_item)

                return default_log_probs_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(list[TokenLogprob] | None | Unset, data)

        default_log_probs = _parse_default_log_probs(d.pop("defaultLogProbs", UNSET))

        steer_answer = cls(
            id=id,
            share_url=share_url,
            limit=limit,
            tokens=tokens,
            steered=steered,
            default=default,
            steered_log_probs=steered_log_probs,
            default_log_probs=default_log_probs,
        )

        steer_answer.additional_properties = d
        return steer_answer

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
