from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="StoredSource")


@_attrs_define
class StoredSource:
    """A source that pages show.

    Attributes:
        source (str): id of the source
        features (int): number of its features
        bytes_ (int): its share of the tables of features, indexes included
        imported_at (datetime.datetime): when its import began
        verified_at (datetime.datetime | None): when its rows were last compared with what was imported
        problem (None | str): what differed then; null: it was complete
    """

    source: str
    features: int
    bytes_: int
    imported_at: datetime.datetime
    verified_at: datetime.datetime | None
    problem: None | str
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        source = self.source

        features = self.features

        bytes_ = self.bytes_

        imported_at = self.imported_at.isoformat()

        verified_at: None | str
        if isinstance(self.verified_at, datetime.datetime):
            verified_at = self.verified_at.isoformat()
        else:
            verified_at = self.verified_at

        problem: None | str
        problem = self.problem

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "source": source,
                "features": features,
                "bytes": bytes_,
                "importedAt": imported_at,
                "verifiedAt": verified_at,
                "problem": problem,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        source = d.pop("source")

        features = d.pop("features")

        bytes_ = d.pop("bytes")

        imported_at = datetime.datetime.fromisoformat(d.pop("importedAt"))

        def _parse_verified_at(data: object) -> datetime.datetime | None:
            if data is None:
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                verified_at_type_0 = datetime.datetime.fromisoformat(data)

                return verified_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None, data)

        verified_at = _parse_verified_at(d.pop("verifiedAt"))

        def _parse_problem(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        problem = _parse_problem(d.pop("problem"))

        stored_source = cls(
            source=source,
            features=features,
            bytes_=bytes_,
            imported_at=imported_at,
            verified_at=verified_at,
            problem=problem,
        )

        stored_source.additional_properties = d
        return stored_source

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
