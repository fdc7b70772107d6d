from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.explanation_body_parameters_type_0 import ExplanationBodyParametersType0
    from ..models.name_body import NameBody
    from ..models.score_body import ScoreBody


T = TypeVar("T", bound="ExplanationBody")


@_attrs_define
class ExplanationBody:
    """An explanation of a feature.

    Attributes:
        id (str): id of the explanation
        model_id (str): id of the model
        layer (str): id of the source
        source (str): id of the source
        index (str): index of the feature
        description (str): text of the explanation
        type_name (str): method of the explanation
        explanation_model_name (None | str): language model that wrote it; null where none did
        author (NameBody | None): account that generated it; null for explanations of a dataset
        created_at (datetime.datetime): when it was stored
        chosen_as_label (bool): whether a user chose it as the feature's label
        template_version (int | None | Unset): version of the method's prompt template
        profile (None | str | Unset): provider of the language model, by its name here
        parameters (ExplanationBodyParametersType0 | None | Unset): what shaped prompt and answer, such as the number of
            texts
        prompt_tokens (int | None | Unset): tokens of the prompt; null where not counted
        completion_tokens (int | None | Unset): tokens that the language model generated
        cost (float | None | Unset): US dollars paid; 0 for a stored answer, null where unknown
        scores (list[ScoreBody] | Unset): scores of the explanation; filled in the feature JSON only
        triggered_by_user (NameBody | None | Unset): always null
    """

    id: str
    model_id: str
    layer: str
    source: str
    index: str
    description: str
    type_name: str
    explanation_model_name: None | str
    author: NameBody | None
    created_at: datetime.datetime
    chosen_as_label: bool
    template_version: int | None | Unset = UNSET
    profile: None | str | Unset = UNSET
    parameters: ExplanationBodyParametersType0 | None | Unset = UNSET
    prompt_tokens: int | None | Unset = UNSET
    completion_tokens: int | None | Unset = UNSET
    cost: float | None | Unset = UNSET
    scores: list[ScoreBody] | Unset = UNSET
    triggered_by_user: NameBody | None | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.explanation_body_parameters_type_0 import (
            ExplanationBodyParametersType0,  # noqa: PLC0415
        )
        from ..models.name_body import NameBody  # noqa: PLC0415

        id = self.id

        model_id = self.model_id

        layer = self.layer

        source = self.source

        index = self.index

        description = self.description

        type_name = self.type_name

        explanation_model_name: None | str
        explanation_model_name = self.explanation_model_name

        author: dict[str, Any] | None
        if isinstance(self.author, NameBody):
            author = self.author.to_dict()
        else:
            author = self.author

        created_at = self.created_at.isoformat()

        chosen_as_label = self.chosen_as_label

        template_version: int | None | Unset
        if isinstance(self.template_version, Unset):
            template_version = UNSET
        else:
            template_version = self.template_version

        profile: None | str | Unset
        if isinstance(self.profile, Unset):
            profile = UNSET
        else:
            profile = self.profile

        parameters: dict[str, Any] | None | Unset
        if isinstance(self.parameters, Unset):
            parameters = UNSET
        elif isinstance(self.parameters, ExplanationBodyParametersType0):
            parameters = self.parameters.to_dict()
        else:
            parameters = self.parameters

        prompt_tokens: int | None | Unset
        if isinstance(self.prompt_tokens, Unset):
            prompt_tokens = UNSET
        else:
            prompt_tokens = self.prompt_tokens

        completion_tokens: int | None | Unset
        if isinstance(self.completion_tokens, Unset):
            completion_tokens = UNSET
        else:
            completion_tokens = self.completion_tokens

        cost: float | None | Unset
        if isinstance(self.cost, Unset):
            cost = UNSET
        else:
            cost = self.cost

        scores: list[dict[str, Any]] | Unset = UNSET
        if not isinstance(self.scores, Unset):
            scores = []
            for scores_item_data in self.scores:
                scores_item = scores_item_data.to_dict()
                scores.append(scores_item)

        triggered_by_user: dict[str, Any] | None | Unset
        if isinstance(self.triggered_by_user, Unset):
            triggered_by_user = UNSET
        elif isinstance(self.triggered_by_user, NameBody):
            triggered_by_user = self.triggered_by_user.to_dict()
        else:
            triggered_by_user = self.triggered_by_user

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "id": id,
                "modelId": model_id,
                "layer": layer,
                "source": source,
                "index": index,
                "description": description,
                "typeName": type_name,
                "explanationModelName": explanation_model_name,
                "author": author,
                "createdAt": created_at,
                "chosenAsLabel": chosen_as_label,
            }
        )
        if template_version is not UNSET:
            field_dict["templateVersion"] = template_version
        if profile is not UNSET:
            field_dict["profile"] = profile
        if parameters is not UNSET:
            field_dict["parameters"] = parameters
        if prompt_tokens is not UNSET:
            field_dict["promptTokens"] = prompt_tokens
        if completion_tokens is not UNSET:
            field_dict["completionTokens"] = completion_tokens
        if cost is not UNSET:
            field_dict["cost"] = cost
        if scores is not UNSET:
            field_dict["scores"] = scores
        if triggered_by_user is not UNSET:
            field_dict["triggeredByUser"] = triggered_by_user

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.explanation_body_parameters_type_0 import (
            ExplanationBodyParametersType0,  # noqa: PLC0415
        )
        from ..models.name_body import NameBody  # noqa: PLC0415
        from ..models.score_body import ScoreBody  # noqa: PLC0415

        d = dict(src_dict)
        id = d.pop("id")

        model_id = d.pop("modelId")

        layer = d.pop("layer")

        source = d.pop("source")

        index = d.pop("index")

        description = d.pop("description")

        type_name = d.pop("typeName")

        def _parse_explanation_model_name(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        explanation_model_name = _parse_explanation_model_name(d.pop("explanationModelName"))

        def _parse_author(data: object) -> NameBody | None:
            if data is None:
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                author_type_0 = NameBody.from_dict(data)

                return author_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(NameBody | None, data)

        author = _parse_author(d.pop("author"))

        created_at = datetime.datetime.fromisoformat(d.pop("createdAt"))

        chosen_as_label = d.pop("chosenAsLabel")

        def _parse_template_version(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        template_version = _parse_template_version(d.pop("templateVersion", UNSET))

        def _parse_profile(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        profile = _parse_profile(d.pop("profile", UNSET))

        def _parse_parameters(data: object) -> ExplanationBodyParametersType0 | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                parameters_type_0 = ExplanationBodyParametersType0.from_dict(data)

                return parameters_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(ExplanationBodyParametersType0 | None | Unset, data)

        parameters = _parse_parameters(d.pop("parameters", UNSET))

        def _parse_prompt_tokens(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        prompt_tokens = _parse_prompt_tokens(d.pop("promptTokens", UNSET))

        def _parse_completion_tokens(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        completion_tokens = _parse_completion_tokens(d.pop("completionTokens", UNSET))

        def _parse_cost(data: object) -> float | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(float | None | Unset, data)

        cost = _parse_cost(d.pop("cost", UNSET))

        _scores = d.pop("scores", UNSET)
        scores: list[ScoreBody] | Unset = UNSET
        if _scores is not UNSET:
            scores = []
            for scores_item_data in _scores:
                scores_item = ScoreBody.from_dict(scores_item_data)

                scores.append(scores_item)

        def _parse_triggered_by_user(data: object) -> NameBody | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                triggered_by_user_type_0 = NameBody.from_dict(data)

                return triggered_by_user_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(NameBody | None | Unset, data)

        triggered_by_user = _parse_triggered_by_user(d.pop("triggeredByUser", UNSET))

        explanation_body = cls(
            id=id,
            model_id=model_id,
            layer=layer,
            source=source,
            index=index,
            description=description,
            type_name=type_name,
            explanation_model_name=explanation_model_name,
            author=author,
            created_at=created_at,
            chosen_as_label=chosen_as_label,
            template_version=template_version,
            profile=profile,
            parameters=parameters,
            prompt_tokens=prompt_tokens,
            completion_tokens=completion_tokens,
            cost=cost,
            scores=scores,
            triggered_by_user=triggered_by_user,
        )

        explanation_body.additional_properties = d
        return explanation_body

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
