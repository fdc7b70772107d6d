from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.health_body_status import HealthBodyStatus, check_health_body_status

if TYPE_CHECKING:
    from ..models.embedder_health import EmbedderHealth
    from ..models.inference_host_health import InferenceHostHealth


T = TypeVar("T", bound="HealthBody")


@_attrs_define
class HealthBody:
    """Whether the webapp can serve requests.

    Attributes:
        status (HealthBodyStatus): degraded: pages are served, but new explanations get no vectors and are found by
            words only
        embedder (EmbedderHealth): The background task that embeds new explanations for search by meaning.
        inference (list[InferenceHostHealth]): last known state of each enabled inference host; no host is waited for
    """

    status: HealthBodyStatus
    embedder: EmbedderHealth
    inference: list[InferenceHostHealth]
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        status: str = self.status

        embedder = self.embedder.to_dict()

        inference = []
        for inference_item_data in self.inference:
            inference_item = inference_item_data.to_dict()
            inference.append(inference_item)

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "status": status,
                "embedder": embedder,
                "inference": inference,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.embedder_health import EmbedderHealth  # noqa: PLC0415
        from ..models.inference_host_health import InferenceHostHealth  # noqa: PLC0415

        d = dict(src_dict)
        status = check_health_body_status(d.pop("status"))

        embedder = EmbedderHealth.from_dict(d.pop("embedder"))

        inference = []
        _inference = d.pop("inference")
        for inference_item_data in _inference:
            inference_item = InferenceHostHealth.from_dict(inference_item_data)

            inference.append(inference_item)

        health_body = cls(
            status=status,
            embedder=embedder,
            inference=inference,
        )

        health_body.additional_properties = d
        return health_body

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
