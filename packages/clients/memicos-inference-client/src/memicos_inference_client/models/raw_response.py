from __future__ import annotations

from collections.abc import Mapping
from typing import (
    TYPE_CHECKING,
    Any,
    Literal,
    TypeVar,
    cast,
)

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.raw_response_type import RawResponseType, check_raw_response_type

if TYPE_CHECKING:
    from ..models.model_recipe import ModelRecipe
    from ..models.raw_result import RawResult


T = TypeVar("T", bound="RawResponse")


@_attrs_define
class RawResponse:
    """Activations of the prompts, and how they were computed.

    Attributes:
        hook_point (Literal['residual_stream'] | None): `hook_point` of the request; null if it named `hooks`.
        type_ (RawResponseType): `type` of the request.
        dtype (str): Data type that the model computes in, for example float32. The values are not rounded further.
        device (str): Device that the model runs on, for example cpu or cuda:0.
        recipe (ModelRecipe): How the model was run on the text.
        results (list[RawResult]): One result per prompt, in the order of `prompts`.
    """

    hook_point: Literal["residual_stream"] | None
    type_: RawResponseType
    dtype: str
    device: str
    recipe: ModelRecipe
    results: list[RawResult]
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        hook_point: Literal["residual_stream"] | None
        hook_point = self.hook_point

        type_: str = self.type_

        dtype = self.dtype

        device = self.device

        recipe = self.recipe.to_dict()

        results = []
        for results_item_data in self.results:
            results_item = results_item_data.to_dict()
            results.append(results_item)

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "hook_point": hook_point,
                "type": type_,
                "dtype": dtype,
                "device": device,
                "recipe": recipe,
                "results": results,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.model_recipe import ModelRecipe  # noqa: PLC0415
        from ..models.raw_result import RawResult  # noqa: PLC0415

        d = dict(src_dict)

        def _parse_hook_point(data: object) -> Literal["residual_stream"] | None:
            if data is None:
                return data
            hook_point_type_0 = cast(Literal["residual_stream"], data)
            if hook_point_type_0 != "residual_stream":
                raise ValueError(f"hook_point_type_0 must match const 'residual_stream', got '{hook_point_type_0}'")
            return hook_point_type_0
            return cast(Literal["residual_stream"] | None, data)

        hook_point = _parse_hook_point(d.pop("hook_point"))

        type_ = check_raw_response_type(d.pop("type"))

        dtype = d.pop("dtype")

        device = d.pop("device")

        recipe = ModelRecipe.from_dict(d.pop("recipe"))

        results = []
        _results = d.pop("results")
        for results_item_data in _results:
            results_item = RawResult.from_dict(results_item_data)

            results.append(results_item)

        raw_response = cls(
            hook_point=hook_point,
            type_=type_,
            dtype=dtype,
            device=device,
            recipe=recipe,
            results=results,
        )

        raw_response.additional_properties = d
        return raw_response

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
