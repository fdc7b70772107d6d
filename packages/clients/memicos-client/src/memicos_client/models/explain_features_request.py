from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define

from ..types import UNSET, Unset

T = TypeVar("T", bound="ExplainFeaturesRequest")


@_attrs_define
class ExplainFeaturesRequest:
    """Features of a source or a set to explain by a language model.

    Attributes:
        name (str): model/source, or model/set for all sources of the set
        profile (None | str | Unset): provider; null: the default one
        model (None | str | Unset): language model; null: the profile's first
        budget (float | None | Unset): most US dollars to pay; null only for a model without a price
        batch (bool | Unset): whether what follows the sample is asked by OpenAI's Batch API, for the batch price; only
            where the profile has batches Default: False.
        min_density (float | Unset): smallest share of active tokens Default: 0.0.
        max_density (float | Unset): largest share of active tokens Default: 1.0.
        score_below (float | None | Unset): only features whose label has a lower score
        score_method (str | Unset): of scoreBelow Default: 'eleuther_embedding'.
        indices (str | Unset): only these, as 3,7,10-20; empty: all Default: ''.
        failed_in (int | None | Unset): only features that this job listed as failed; null: all
        method (str | Unset): explainer Default: 'eleuther_acts_top20'.
        contrastive (bool | Unset): whether prompts show texts of similar features as well, as ones not to describe
            Default: False.
        unexplained (bool | Unset): only features without an explanation other than token statistics Default: False.
    """

    name: str
    profile: None | str | Unset = UNSET
    model: None | str | Unset = UNSET
    budget: float | None | Unset = UNSET
    batch: bool | Unset = False
    min_density: float | Unset = 0.0
    max_density: float | Unset = 1.0
    score_below: float | None | Unset = UNSET
    score_method: str | Unset = "eleuther_embedding"
    indices: str | Unset = ""
    failed_in: int | None | Unset = UNSET
    method: str | Unset = "eleuther_acts_top20"
    contrastive: bool | Unset = False
    unexplained: bool | Unset = False

    def to_dict(self) -> dict[str, Any]:
        name = self.name

        profile: None | str | Unset
        if isinstance(self.profile, Unset):
            profile = UNSET
        else:
            profile = self.profile

        model: None | str | Unset
        if isinstance(self.model, Unset):
            model = UNSET
        else:
            model = self.model

        budget: float | None | Unset
        if isinstance(self.budget, Unset):
            budget = UNSET
        else:
            budget = self.budget

        batch = self.batch

        min_density = self.min_density

        max_density = self.max_density

        score_below: float | None | Unset
        if isinstance(self.score_below, Unset):
            score_below = UNSET
        else:
            score_below = self.score_below

        score_method = self.score_method

        indices = self.indices

        failed_in: int | None | Unset
        if isinstance(self.failed_in, Unset):
            failed_in = UNSET
        else:
            failed_in = self.failed_in

        method = self.method

        contrastive = self.contrastive

        unexplained = self.unexplained

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "name": name,
            }
        )
        if profile is not UNSET:
            field_dict["profile"] = profile
        if model is not UNSET:
            field_dict["model"] = model
        if budget is not UNSET:
            field_dict["budget"] = budget
        if batch is not UNSET:
            field_dict["batch"] = batch
        if min_density is not UNSET:
            field_dict["minDensity"] = min_density
        if max_density is not UNSET:
            field_dict["maxDensity"] = max_density
        if score_below is not UNSET:
            field_dict["scoreBelow"] = score_below
        if score_method is not UNSET:
            field_dict["scoreMethod"] = score_method
        if indices is not UNSET:
            field_dict["indices"] = indices
        if failed_in is not UNSET:
            field_dict["failedIn"] = failed_in
        if method is not UNSET:
            field_dict["method"] = method
        if contrastive is not UNSET:
            field_dict["contrastive"] = contrastive
        if unexplained is not UNSET:
            field_dict["unexplained"] = unexplained

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        name = d.pop("name")

        def _parse_profile(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        profile = _parse_profile(d.pop("profile", UNSET))

        def _parse_model(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        model = _parse_model(d.pop("model", UNSET))

        def _parse_budget(data: object) -> float | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(float | None | Unset, data)

        budget = _parse_budget(d.pop("budget", UNSET))

        batch = d.pop("batch", UNSET)

        min_density = d.pop("minDensity", UNSET)

        max_density = d.pop("maxDensity", UNSET)

        def _parse_score_below(data: object) -> float | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(float | None | Unset, data)

        score_below = _parse_score_below(d.pop("scoreBelow", UNSET))

        score_method = d.pop("scoreMethod", UNSET)

        indices = d.pop("indices", UNSET)

        def _parse_failed_in(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        failed_in = _parse_failed_in(d.pop("failedIn", UNSET))

        method = d.pop("method", UNSET)

        contrastive = d.pop("contrastive", UNSET)

        unexplained = d.pop("unexplained", UNSET)

        explain_features_request = cls(
            name=name,
            profile=profile,
            model=model,
            budget=budget,
            batch=batch,
            min_density=min_density,
            max_density=max_density,
            score_below=score_below,
            score_method=score_method,
            indices=indices,
            failed_in=failed_in,
            method=method,
            contrastive=contrastive,
            unexplained=unexplained,
        )

        return explain_features_request
