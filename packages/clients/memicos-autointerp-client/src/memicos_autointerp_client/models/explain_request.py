from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.activation import Activation


T = TypeVar("T", bound="ExplainRequest")


@_attrs_define
class ExplainRequest:
    """Top-activating texts of a feature, strongest first. At least one value is above 0.

    Attributes:
        activations (list[Activation]): the texts; at most AUTOINTERP_MAX_ACTIVATIONS of them, 64 by default
        model (None | str | Unset): model, as its endpoint names it; null: the profile's default. Without a key of the
            request one of the profile's models (AUTOINTERP_MODEL, AUTOINTERP_MODELS for the default profile)
        profile (None | str | Unset): provider by its name on this server; null: the default profile
        openrouter_key (None | str | Unset): the client's key for OpenRouter, sent only there; empty is the same as null
        api_key (None | str | Unset): the client's key for profile or base_url, or for the default profile where both
            are null
        base_url (None | str | Unset): another endpoint that this server allows; needs api_key and model. With profile:
            the only endpoint that api_key may be sent to, so that a profile with another one is refused
        explainer (None | str | Unset): method: one of eleuther_acts_top20, np_acts-logits-general, np_max-act, np_max-
            act-logits, oai_token-act-pair, oai_attention-head; null: eleuther_acts_top20
        top_logits (list[str] | Unset): the tokens whose logits the feature raises most, for explainers that use them
        negatives (list[Activation] | Unset): contrastive texts: examples of similar features, on which this one is
            silent. They count as activations in the limit
    """

    activations: list[Activation]
    model: None | str | Unset = UNSET
    profile: None | str | Unset = UNSET
    openrouter_key: None | str | Unset = UNSET
    api_key: None | str | Unset = UNSET
    base_url: None | str | Unset = UNSET
    explainer: None | str | Unset = UNSET
    top_logits: list[str] | Unset = UNSET
    negatives: list[Activation] | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        activations = []
        for activations_item_data in self.activations:
            activations_item = activations_item_data.to_dict()
            activations.append(activations_item)

        model: None | str | Unset
        if isinstance(self.model, Unset):
            model = UNSET
        else:
            model = self.model

        profile: None | str | Unset
        if isinstance(self.profile, Unset):
            profile = UNSET
        else:
            profile = self.profile

        openrouter_key: None | str | Unset
        if isinstance(self.openrouter_key, Unset):
            openrouter_key = UNSET
        else:
            openrouter_key = self.openrouter_key

        api_key: None | str | Unset
        if isinstance(self.api_key, Unset):
            api_key = UNSET
        else:
            api_key = self.api_key

        base_url: None | str | Unset
        if isinstance(self.base_url, Unset):
            base_url = UNSET
        else:
            base_url = self.base_url

        explainer: None | str | Unset
        if isinstance(self.explainer, Unset):
            explainer = UNSET
        else:
            explainer = self.explainer

        top_logits: list[str] | Unset = UNSET
        if not isinstance(self.top_logits, Unset):
            top_logits = self.top_logits

        negatives: list[dict[str, Any]] | Unset = UNSET
        if not isinstance(self.negatives, Unset):
            negatives = []
            for negatives_item_data in self.negatives:
                negatives_item = negatives_item_data.to_dict()
                negatives.append(negatives_item)

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "activations": activations,
            }
        )
        if model is not UNSET:
            field_dict["model"] = model
        if profile is not UNSET:
            field_dict["profile"] = profile
        if openrouter_key is not UNSET:
            field_dict["openrouter_key"] = openrouter_key
        if api_key is not UNSET:
            field_dict["api_key"] = api_key
        if base_url is not UNSET:
            field_dict["base_url"] = base_url
        if explainer is not UNSET:
            field_dict["explainer"] = explainer
        if top_logits is not UNSET:
            field_dict["top_logits"] = top_logits
        if negatives is not UNSET:
            field_dict["negatives"] = negatives

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.activation import Activation  # noqa: PLC0415

        d = dict(src_dict)
        activations = []
        _activations = d.pop("activations")
        for activations_item_data in _activations:
            activations_item = Activation.from_dict(activations_item_data)

            activations.append(activations_item)

        def _parse_model(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        model = _parse_model(d.pop("model", UNSET))

        def _parse_profile(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        profile = _parse_profile(d.pop("profile", UNSET))

        def _parse_openrouter_key(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        openrouter_key = _parse_openrouter_key(d.pop("openrouter_key", UNSET))

        def _parse_api_key(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        api_key = _parse_api_key(d.pop("api_key", UNSET))

        def _parse_base_url(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        base_url = _parse_base_url(d.pop("base_url", UNSET))

        def _parse_explainer(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        explainer = _parse_explainer(d.pop("explainer", UNSET))

        top_logits = cast(list[str], d.pop("top_logits", UNSET))

        _negatives = d.pop("negatives", UNSET)
        negatives: list[Activation] | Unset = UNSET
        if _negatives is not UNSET:
            negatives = []
            for negatives_item_data in _negatives:
                negatives_item = Activation.from_dict(negatives_item_data)

                negatives.append(negatives_item)

        explain_request = cls(
            activations=activations,
            model=model,
            profile=profile,
            openrouter_key=openrouter_key,
            api_key=api_key,
            base_url=base_url,
            explainer=explainer,
            top_logits=top_logits,
            negatives=negatives,
        )

        explain_request.additional_properties = d
        return explain_request

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
