from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.feature_activation import FeatureActivation
    from ..models.source_positions import SourcePositions


T = TypeVar("T", bound="AllResponse")


@_attrs_define
class AllResponse:
    """Features that are active at a position that is not ignored, and those that `feature_filter` names.

    Attributes:
        activations (list[FeatureActivation]): Features by descending maximum, or sum if `sort_by_token_indexes` is
            given; ties by source, then index.
        tokens (list[str]): What each token adds to the text, one string per token, a prepended BOS included; joined,
            the decoded text. A character made of several tokens stands at the token that completes it; the earlier ones
            have an empty string.
        tokens_is_special (list[bool]): For each token, whether it is a special token of the tokenizer, such as BOS or
            end of turn.
        token_ids (list[int]): Vocabulary id of each token, a prepended BOS included.
        sources (list[SourcePositions]): Ignored positions and recipe of each selected source, in the order of
            selection.
        counts (list[list[int]] | None | Unset): Number of active features, [layer from 0][token position]; 0 in layers
            without a selected source.
        prepended_bos (bool | Unset): Whether BOS was prepended: not if the prompt begins with it, or the model has
            none. Default: False.
    """

    activations: list[FeatureActivation]
    tokens: list[str]
    tokens_is_special: list[bool]
    token_ids: list[int]
    sources: list[SourcePositions]
    counts: list[list[int]] | None | Unset = UNSET
    prepended_bos: bool | Unset = False
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        activations = []
        for activations_item_data in self.activations:
            activations_item = activations_item_data.to_dict()
            activations.append(activations_item)

        tokens = self.tokens

        tokens_is_special = self.tokens_is_special

        token_ids = self.token_ids

        sources = []
        for sources_item_data in self.sources:
            sources_item = sources_item_data.to_dict()
            sources.append(sources_item)

        counts: list[list[int]] | None | Unset
        if isinstance(self.counts, Unset):
            counts = UNSET
        elif isinstance(self.counts, list):
            counts = []
            for counts_type_0_item_data in self.counts:
                counts_type_0_item = counts_type_0_item_data

                counts.append(counts_type_0_item)

        else:
            counts = self.counts

        prepended_bos = self.prepended_bos

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "activations": activations,
                "tokens": tokens,
                "tokens_is_special": tokens_is_special,
                "token_ids": token_ids,
                "sources": sources,
            }
        )
        if counts is not UNSET:
            field_dict["counts"] = counts
        if prepended_bos is not UNSET:
            field_dict["prepended_bos"] = prepended_bos

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.feature_activation import FeatureActivation  # noqa: PLC0415
        from ..models.source_positions import SourcePositions  # noqa: PLC0415

        d = dict(src_dict)
        activations = []
        _activations = d.pop("activations")
        for activations_item_data in _activations:
            activations_item = FeatureActivation.from_dict(activations_item_data)

            activations.append(activations_item)

        tokens = cast(list[str], d.pop("tokens"))

        tokens_is_special = cast(list[bool], d.pop("tokens_is_special"))

        token_ids = cast(list[int], d.pop("token_ids"))

        sources = []
        _sources = d.pop("sources")
        for sources_item_data in _sources:
            sources_item = SourcePositions.from_dict(sources_item_data)

            sources.append(sources_item)

        def _parse_counts(data: object) -> list[list[int]] | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, list):
                    raise TypeError()
                counts_type_0 = []
                _counts_type_0 = data
                for counts_type_0_item_data in _counts_type_0:
                    counts_type_0_item = cast(list[int], counts_type_0_item_data)

                    counts_type_0.append(counts_type_0_item)

                return counts_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(list[list[int]] | None | Unset, data)

        counts = _parse_counts(d.pop("counts", UNSET))

        prepended_bos = d.pop("prepended_bos", UNSET)

        all_response = cls(
            activations=activations,
            tokens=tokens,
            tokens_is_special=tokens_is_special,
            token_ids=token_ids,
            sources=sources,
            counts=counts,
            prepended_bos=prepended_bos,
        )

        all_response.additional_properties = d
        return all_response

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
