from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.explain_response_parameters import ExplainResponseParameters
    from ..models.usage import Usage


T = TypeVar("T", bound="ExplainResponse")


@_attrs_define
class ExplainResponse:
    """The explanation, its method and its model.

    Attributes:
        explanation (str): a phrase that says what the feature detects
        method (str): explanation method: name of the explainer
        template_version (int): version of the explainer's prompt template
        model (str): model that wrote it, as its provider names it
        profile (str): provider by its name on this server; `request` for another base_url
        parameters (ExplainResponseParameters): what shaped prompt and answer: number of texts and negatives,
            highlight_share, max_tokens, temperature
        cached (bool): whether the answer was stored before, so that nothing was paid
        cost (float | None | Unset): US dollars, by the profile's prices; null where they are unknown
        usage (None | Unset | Usage): tokens of the call; null where the provider does not count them
    """

    explanation: str
    method: str
    template_version: int
    model: str
    profile: str
    parameters: ExplainResponseParameters
    cached: bool
    cost: float | None | Unset = UNSET
    usage: None | Unset | Usage = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.usage import Usage  # noqa: PLC0415

        explanation = self.explanation

        method = self.method

        template_version = self.template_version

        model = self.model

        profile = self.profile

        parameters = self.parameters.to_dict()

        cached = self.cached

        cost: float | None | Unset
        if isinstance(self.cost, Unset):
            cost = UNSET
        else:
            cost = self.cost

        usage: dict[str, Any] | None | Unset
        if isinstance(self.usage, Unset):
            usage = UNSET
        elif isinstance(self.usage, Usage):
            usage = self.usage.to_dict()
        else:
            usage = self.usage

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "explanation": explanation,
                "method": method,
                "template_version": template_version,
                "model": model,
                "profile": profile,
                "parameters": parameters,
                "cached": cached,
            }
        )
        if cost is not UNSET:
            field_dict["cost"] = cost
        if usage is not UNSET:
            field_dict["usage"] = usage

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.explain_response_parameters import ExplainResponseParameters  # noqa: PLC0415
        from ..models.usage import Usage  # noqa: PLC0415

        d = dict(src_dict)
        explanation = d.pop("explanation")

        method = d.pop("method")

        template_version = d.pop("template_version")

        model = d.pop("model")

        profile = d.pop("profile")

        parameters = ExplainResponseParameters.from_dict(d.pop("parameters"))

        cached = d.pop("cached")

        def _parse_cost(data: object) -> float | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(float | None | Unset, data)

        cost = _parse_cost(d.pop("cost", UNSET))

        def _parse_usage(data: object) -> None | Unset | Usage:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                usage_type_0 = Usage.from_dict(data)

                return usage_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | Unset | Usage, data)

        usage = _parse_usage(d.pop("usage", UNSET))

        explain_response = cls(
            explanation=explanation,
            method=method,
            template_version=template_version,
            model=model,
            profile=profile,
            parameters=parameters,
            cached=cached,
            cost=cost,
            usage=usage,
        )

        explain_response.additional_properties = d
        return explain_response

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
