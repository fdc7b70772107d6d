from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.feature_reference import FeatureReference


T = TypeVar("T", bound="SimilarFeature")


@_attrs_define
class SimilarFeature:
    """A feature and its similarity to the requested direction.

    Attributes:
        feature (FeatureReference): Identifies a feature in a response.
        cosine_similarity (float): Cosine between its decoder row and the requested direction, from -1 to 1.
    """

    feature: FeatureReference
    cosine_similarity: float
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        feature = self.feature.to_dict()

        cosine_similarity = self.cosine_similarity

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "feature": feature,
                "cosine_similarity": cosine_similarity,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.feature_reference import FeatureReference  # noqa: PLC0415

        d = dict(src_dict)
        feature = FeatureReference.from_dict(d.pop("feature"))

        cosine_similarity = d.pop("cosine_similarity")

        similar_feature = cls(
            feature=feature,
            cosine_similarity=cosine_similarity,
        )

        similar_feature.additional_properties = d
        return similar_feature

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
