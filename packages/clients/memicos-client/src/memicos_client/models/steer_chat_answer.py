from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.chat_result import ChatResult
    from ..models.chat_settings import ChatSettings
    from ..models.token_counts import TokenCounts


T = TypeVar("T", bound="SteerChatAnswer")


@_attrs_define
class SteerChatAnswer:
    """
    Attributes:
        settings (ChatSettings): Settings that the conversation was generated with.
        id (None | str | Unset): null: runs are not stored
        share_url (None | str | Unset): the steer page with these settings
        limit (None | str | Unset): requests left in this window; null where none is set
        tokens (None | TokenCounts | Unset): number of tokens generated so far, by output
        steered (ChatResult | None | Unset): conversation continued with steering; null: no features were sent
        default (ChatResult | None | Unset): conversation continued without steering
    """

    settings: ChatSettings
    id: None | str | Unset = UNSET
    share_url: None | str | Unset = UNSET
    limit: None | str | Unset = UNSET
    tokens: None | TokenCounts | Unset = UNSET
    steered: ChatResult | None | Unset = UNSET
    default: ChatResult | None | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.chat_result import ChatResult  # noqa: PLC0415
        from ..models.token_counts import TokenCounts  # noqa: PLC0415

        settings = self.settings.to_dict()

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

        steered: dict[str, Any] | None | Unset
        if isinstance(self.steered, Unset):
            steered = UNSET
        elif isinstance(self.steered, ChatResult):
            steered = self.steered.to_dict()
        else:
            steered = self.steered

        default: dict[str, Any] | None | Unset
        if isinstance(self.default, Unset):
            default = UNSET
        elif isinstance(self.default, ChatResult):
            default = self.default.to_dict()
        else:
            default = self.default

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "settings": settings,
            }
        )
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

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.chat_result import ChatResult  # noqa: PLC0415
        from ..models.chat_settings import ChatSettings  # noqa: PLC0415
        from ..models.token_counts import TokenCounts  # noqa: PLC0415

        d = dict(src_dict)
        settings = ChatSettings.from_dict(d.pop("settings"))

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

        def _parse_steered(data: object) -> ChatResult | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                steered_type_0 = ChatResult.from_dict(data)

                return steered_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(ChatResult | None | Unset, data)

        steered = _parse_steered(d.pop("STEERED", UNSET))

        def _parse_default(data: object) -> ChatResult | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                default_type_0 = ChatResult.from_dict(data)

                return default_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(ChatResult | None | Unset, data)

        default = _parse_default(d.pop("DEFAULT", UNSET))

        steer_chat_answer = cls(
            settings=settings,
            id=id,
            share_url=share_url,
            limit=limit,
            tokens=tokens,
            steered=steered,
            default=default,
        )

        steer_chat_answer.additional_properties = d
        return steer_chat_answer

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
