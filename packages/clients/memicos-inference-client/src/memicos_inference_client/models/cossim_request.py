from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.feature import Feature


T = TypeVar("T", bound="CossimRequest")


@_attrs_define
class CossimRequest:
    """The direction to compare with: exactly one of `feature` and `vector`.

    Attributes:
        model (str): Id of the model, one of `accepted_models` in the capabilities.
        source (str): Id of the source whose decoder rows are ranked.
        num_results (int): Number of features to return, at most `max_num_results` in the capabilities' limits.
        feature (Feature | None | Unset): Compare with the decoder row of this feature; its source may differ from
            `source`.
        vector (list[float] | None | Unset): Compare with this vector: as many numbers as a decoder row of `source` has.
            Its norm may be any but 0.
    """

    model: str
    source: str
    num_results: int
    feature: Feature | None | Unset = UNSET
    vector: list[float] | None | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.feature import Feature  # noqa: PLC0415

        model = self.model

        source = self.source

        num_results = self.num_results

        feature: dict[str, Any] | None | Unset
        if isinstance(self.feature, Unset):
            feature = UNSET
        elif isinstance(self.feature, Feature):
            feature = self.feature.to_dict()
        else:
            feature = self.feature

        vector: list[float] | None | Unset
        if isinstance(self.vector, Unset):
            vector = UNSET
        elif isinstance(self.vector, list):
            vector = self.vector

        else:
            vector = self.vector

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "model": model,
                "source": source,
                "num_results": num_results,
            }
        )
        if feature is not UNSET:
            field_dict["feature"] = feature
        if vector is not UNSET:
            field_dict["vector"] = vector

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.feature import Feature  # noqa: PLC0415

        d = dict(src_dict)
        model = d.pop("model")

        source = d.pop("source")

        num_results = d.pop("num_results")

        def _parse_feature(data: object) -> Feature | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                feature_type_0 = Feature.from_dict(data)

                return feature_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(Feature | None | Unset, data)

        feature = _parse_feature(d.pop("feature", UNSET))

        def _parse_vector(data: object) -> list[float] | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, list):
                    raise TypeError()
                vector_type_0 = cast(list[float], data)

                return vector_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(list[float] | None | Unset, data)

        vector = _parse_vector(d.pop("vector", UNSET))

        cossim_request = cls(
            model=model,
            source=source,
            num_results=num_results,
            feature=feature,
            vector=vector,
        )

        cossim_request.additional_properties = d
        return cossim_request

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
