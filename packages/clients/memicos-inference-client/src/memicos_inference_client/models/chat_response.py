from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.chat_input import ChatInput
    from ..models.chat_output import ChatOutput


T = TypeVar("T", bound="ChatResponse")


@_attrs_define
class ChatResponse:
    """Generated assistant's turns.

    Attributes:
        outputs (list[ChatOutput]): One output per type, in the order of `types`.
        input_ (ChatInput): The prompt of a chat.
    """

    outputs: list[ChatOutput]
    input_: ChatInput
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        outputs = []
        for outputs_item_data in self.outputs:
            outputs_item = outputs_item_data.to_dict()
            outputs.append(outputs_item)

        input_ = self.input_.to_dict()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "outputs": outputs,
                "input": input_,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.chat_input import ChatInput  # noqa: PLC0415
        from ..models.chat_output import ChatOutput  # noqa: PLC0415

        d = dict(src_dict)
        outputs = []
        _outputs = d.pop("outputs")
        for outputs_item_data in _outputs:
            outputs_item = ChatOutput.from_dict(outputs_item_data)

            outputs.append(outputs_item)

        input_ = ChatInput.from_dict(d.pop("input"))

        chat_response = cls(
            outputs=outputs,
            input_=input_,
        )

        chat_response.additional_properties = d
        return chat_response

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
