from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.chat_input import ChatInput
    from ..models.output_delta import OutputDelta


T = TypeVar("T", bound="SteerDelta")


@_attrs_define
class SteerDelta:
    """New part of a streamed response.

    Attributes:
        outputs (list[OutputDelta]): Outputs with a new part.
        input_ (ChatInput | None | Unset): In the first delta of a chat: the prompt. Null otherwise.
    """

    outputs: list[OutputDelta]
    input_: ChatInput | None | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.chat_input import ChatInput  # noqa: PLC0415

        outputs = []
        for outputs_item_data in self.outputs:
            outputs_item = outputs_item_data.to_dict()
            outputs.append(outputs_item)

        input_: dict[str, Any] | None | Unset
        if isinstance(self.input_, Unset):
            input_ = UNSET
        elif isinstance(self.input_, ChatInput):
            input_ = self.input_.to_dict()
        else:
            input_ = self.input_

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "outputs": outputs,
            }
        )
        if input_ is not UNSET:
            field_dict["input"] = input_

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.chat_input import ChatInput  # noqa: PLC0415
        from ..models.output_delta import OutputDelta  # noqa: PLC0415

        d = dict(src_dict)
        outputs = []
        _outputs = d.pop("outputs")
        for outputs_item_data in _outputs:
            outputs_item = OutputDelta.from_dict(outputs_item_data)

            outputs.append(outputs_item)

        def _parse_input_(data: object) -> ChatInput | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                input_type_0 = ChatInput.from_dict(data)

                return input_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(ChatInput | None | Unset, data)

        input_ = _parse_input_(d.pop("input", UNSET))

        steer_delta = cls(
            outputs=outputs,
            input_=input_,
        )

        steer_delta.additional_properties = d
        return steer_delta

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
