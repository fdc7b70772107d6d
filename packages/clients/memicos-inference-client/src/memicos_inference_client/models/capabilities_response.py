from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.limitation import Limitation
    from ..models.limits import Limits
    from ..models.selftest import Selftest
    from ..models.source_info import SourceInfo
    from ..models.unavailable_source import UnavailableSource
    from ..models.unsteerable_hook import UnsteerableHook


T = TypeVar("T", bound="CapabilitiesResponse")


@_attrs_define
class CapabilitiesResponse:
    """Model, sources, endpoints and limits of this server.

    Attributes:
        model (str): Id of the model, as requests name it.
        accepted_models (list[str]): Every id that requests may give as `model`.
        weights (str): Folder name or hub id that the weights were loaded from.
        origin (str): Origin of the weights, for example whether they were dequantised.
        dtype (str): Data type that the model computes in, for example float32.
        sae_dtype (str): Data type that sources compute in, for example float32.
        device (str): Device that the model runs on, for example cpu or cuda:0.
        num_layers (int): Number of layers.
        d_model (int): Width of the residual stream.
        d_vocab (int): Number of tokens in the vocabulary.
        chat_template (bool): Whether the model has a chat template; without one chats are rendered as ChatML.
        sae_sets (list[str]): Names of the source sets.
        sources (list[SourceInfo]): Sources that can be run.
        unavailable_sources (list[UnavailableSource]): Sources of the settings that cannot be run, and why.
        steer_methods (list[str]): Values of `steer_method` that steering requests may give.
        steer_hooks (list[str]): Hook points that can be steered, with N for any layer.
        unsteerable_hooks (list[UnsteerableHook]): Hook points that cannot be steered in this model, but can in others.
        endpoints (list[str]): Paths of the endpoints.
        limitations (list[Limitation]): What endpoints do not support on this server, and why.
        limits (Limits): Limits of a request, from the server's settings and the model. A request beyond them is
            refused.
        selftest (Selftest): Result of the self-test. Endpoints that depend on a failed check respond 503 with cause
            `unverified`.
    """

    model: str
    accepted_models: list[str]
    weights: str
    origin: str
    dtype: str
    sae_dtype: str
    device: str
    num_layers: int
    d_model: int
    d_vocab: int
    chat_template: bool
    sae_sets: list[str]
    sources: list[SourceInfo]
    unavailable_sources: list[UnavailableSource]
    steer_methods: list[str]
    steer_hooks: list[str]
    unsteerable_hooks: list[UnsteerableHook]
    endpoints: list[str]
    limitations: list[Limitation]
    limits: Limits
    selftest: Selftest
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        model = self.model

        accepted_models = self.accepted_models

        weights = self.weights

        origin = self.origin

        dtype = self.dtype

        sae_dtype = self.sae_dtype

        device = self.device

        num_layers = self.num_layers

        d_model = self.d_model

        d_vocab = self.d_vocab

        chat_template = self.chat_template

        sae_sets = self.sae_sets

        sources = []
        for sources_item_data in self.sources:
            sources_item = sources_item_data.to_dict()
            sources.append(sources_item)

        unavailable_sources = []
        for unavailable_sources_item_data in self.unavailable_sources:
            unavailable_sources_item = unavailable_sources_item_data.to_dict()
            unavailable_sources.append(unavailable_sources_item)

        steer_methods = self.steer_methods

        steer_hooks = self.steer_hooks

        unsteerable_hooks = []
        for unsteerable_hooks_item_data in self.unsteerable_hooks:
            unsteerable_hooks_item = unsteerable_hooks_item_data.to_dict()
            unsteerable_hooks.append(unsteerable_hooks_item)

        endpoints = self.endpoints

        limitations = []
        for limitations_item_data in self.limitations:
            limitations_item = limitations_item_data.to_dict()
            limitations.append(limitations_item)

        limits = self.limits.to_dict()

        selftest = self.selftest.to_dict()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "model": model,
                "accepted_models": accepted_models,
                "weights": weights,
                "origin": origin,
                "dtype": dtype,
                "sae_dtype": sae_dtype,
                "device": device,
                "num_layers": num_layers,
                "d_model": d_model,
                "d_vocab": d_vocab,
                "chat_template": chat_template,
                "sae_sets": sae_sets,
                "sources": sources,
                "unavailable_sources": unavailable_sources,
                "steer_methods": steer_methods,
                "steer_hooks": steer_hooks,
                "unsteerable_hooks": unsteerable_hooks,
                "endpoints": endpoints,
                "limitations": limitations,
                "limits": limits,
                "selftest": selftest,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.limitation import Limitation  # noqa: PLC0415
        from ..models.limits import Limits  # noqa: PLC0415
        from ..models.selftest import Selftest  # noqa: PLC0415
        from ..models.source_info import SourceInfo  # noqa: PLC0415
        from ..models.unavailable_source import UnavailableSource  # noqa: PLC0415
        from ..models.unsteerable_hook import UnsteerableHook  # noqa: PLC0415

        d = dict(src_dict)
        model = d.pop("model")

        accepted_models = cast(list[str], d.pop("accepted_models"))

        weights = d.pop("weights")

        origin = d.pop("origin")

        dtype = d.pop("dtype")

        sae_dtype = d.pop("sae_dtype")

        device = d.pop("device")

        num_layers = d.pop("num_layers")

        d_model = d.pop("d_model")

        d_vocab = d.pop("d_vocab")

        chat_template = d.pop("chat_template")

        sae_sets = cast(list[str], d.pop("sae_sets"))

        sources = []
        _sources = d.pop("sources")
        for sources_item_data in _sources:
            sources_item = SourceInfo.from_dict(sources_item_data)

            sources.append(sources_item)

        unavailable_sources = []
        _unavailable_sources = d.pop("unavailable_sources")
        for unavailable_sources_item_data in _unavailable_sources:
            unavailable_sources_item = UnavailableSource.from_dict(unavailable_sources_item_data)

            unavailable_sources.append(unavailable_sources_item)

        steer_methods = cast(list[str], d.pop("steer_methods"))

        steer_hooks = cast(list[str], d.pop("steer_hooks"))

        unsteerable_hooks = []
        _unsteerable_hooks = d.pop("unsteerable_hooks")
        for unsteerable_hooks_item_data in _unsteerable_hooks:
            unsteerable_hooks_item = UnsteerableHook.from_dict(unsteerable_hooks_item_data)

            unsteerable_hooks.append(unsteerable_hooks_item)

        endpoints = cast(list[str], d.pop("endpoints"))

        limitations = []
        _limitations = d.pop("limitations")
        for limitations_item_data in _limitations:
            limitations_item = Limitation.from_dict(limitations_item_data)

            limitations.append(limitations_item)

        limits = Limits.from_dict(d.pop("limits"))

        selftest = Selftest.from_dict(d.pop("selftest"))

        capabilities_response = cls(
            model=model,
            accepted_models=accepted_models,
            weights=weights,
            origin=origin,
            dtype=dtype,
            sae_dtype=sae_dtype,
            device=device,
            num_layers=num_layers,
            d_model=d_model,
            d_vocab=d_vocab,
            chat_template=chat_template,
            sae_sets=sae_sets,
            sources=sources,
            unavailable_sources=unavailable_sources,
            steer_methods=steer_methods,
            steer_hooks=steer_hooks,
            unsteerable_hooks=unsteerable_hooks,
            endpoints=endpoints,
            limitations=limitations,
            limits=limits,
            selftest=selftest,
        )

        capabilities_response.additional_properties = d
        return capabilities_response

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
