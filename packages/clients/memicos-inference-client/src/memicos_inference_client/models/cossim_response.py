from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.feature_reference import FeatureReference
    from ..models.similar_feature import SimilarFeature


T = TypeVar("T", bound="CossimResponse")


@_attrs_define
class CossimResponse:
    """The features most similar to the requested direction.

    Attributes:
        topk_decoder_cossim_features (list[SimilarFeature]): Features by descending cosine, ties by index. The requested
            feature is among them if it belongs to `source`; decoder rows of norm 0 are left out.
        feature (FeatureReference | None | Unset): The feature of the request; null if it had a vector.
    """

    topk_decoder_cossim_features: list[SimilarFeature]
    feature: FeatureReference | None | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.feature_reference import FeatureReference  # noqa: PLC0415

        topk_decoder_cossim_features = []
        for topk_decoder_cossim_features_item_data in self.topk_decoder_cossim_features:
            topk_decoder_cossim_features_item = topk_decoder_cossim_features_item_data.to_dict()
            topk_decoder_cossim_features.append(topk_decoder_cossim_features_item)

        feature: dict[str, Any] | None | Unset
        if isinstance(self.feature, Unset):
            feature = UNSET
        elif isinstance(self.feature, FeatureReference):
            feature = self.feature.to_dict()
        else:
            feature = self.feature

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "topk_decoder_cossim_features": topk_decoder_cossim_features,
            }
        )
        if feature is not UNSET:
            field_dict["feature"] = feature

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.feature_reference import FeatureReference  # noqa: PLC0415
        from ..models.similar_feature import SimilarFeature  # noqa: PLC0415

        d = dict(src_dict)
        topk_decoder_cossim_features = []
        _topk_decoder_cossim_features = d.pop("topk_decoder_cossim_features")
        for topk_decoder_cossim_features_item_data in _topk_decoder_cossim_features:
            topk_decoder_cossim_features_item = SimilarFeature.from_dict(topk_decoder_cossim_features_item_data)

            topk_decoder_cossim_features.append(topk_decoder_cossim_features_item)

        def _parse_feature(data: object) -> FeatureReference | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                feature_type_0 = FeatureReference.from_dict(data)

                return feature_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(FeatureReference | None | Unset, data)

        feature = _parse_feature(d.pop("feature", UNSET))

        cossim_response = cls(
            topk_decoder_cossim_features=topk_decoder_cossim_features,
            feature=feature,
        )

        cossim_response.additional_properties = d
        return cossim_response

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
