from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define

from ..models.missing_sources import MissingSources, check_missing_sources
from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.upload_file import UploadFile
    from ..models.upload_metadata import UploadMetadata


T = TypeVar("T", bound="NewUploadRequest")


@_attrs_define
class NewUploadRequest:
    """The files of a dataset in any format that `memicos import` reads.

    Attributes:
        name (str): name of the dataset's folder, or its parent's and its own: those of a model and a source in the
            public layout
        files (list[UploadFile]): its files, at most 5000 (setting MEMICOS_UPLOAD_FILES)
        missing (MissingSources | Unset): What to do with sources of the set that are shown and that the dataset lacks.
        move_sources (bool | Unset): move sources into this set that are shown in another set Default: False.
        metadata (None | Unset | UploadMetadata): what the public layout may not say
    """

    name: str
    files: list[UploadFile]
    missing: MissingSources | Unset = UNSET
    move_sources: bool | Unset = False
    metadata: None | Unset | UploadMetadata = UNSET

    def to_dict(self) -> dict[str, Any]:
        from ..models.upload_metadata import UploadMetadata  # noqa: PLC0415

        name = self.name

        files = []
        for files_item_data in self.files:
            files_item = files_item_data.to_dict()
            files.append(files_item)

        missing: str | Unset = UNSET
        if not isinstance(self.missing, Unset):
            missing = self.missing

        move_sources = self.move_sources

        metadata: dict[str, Any] | None | Unset
        if isinstance(self.metadata, Unset):
            metadata = UNSET
        elif isinstance(self.metadata, UploadMetadata):
            metadata = self.metadata.to_dict()
        else:
            metadata = self.metadata

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "name": name,
                "files": files,
            }
        )
        if missing is not UNSET:
            field_dict["missing"] = missing
        if move_sources is not UNSET:
            field_dict["moveSources"] = move_sources
        if metadata is not UNSET:
            field_dict["metadata"] = metadata

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.upload_file import UploadFile  # noqa: PLC0415
        from ..models.upload_metadata import UploadMetadata  # noqa: PLC0415

        d = dict(src_dict)
        name = d.pop("name")

        files = []
        _files = d.pop("files")
        for files_item_data in _files:
            files_item = UploadFile.from_dict(files_item_data)

            files.append(files_item)

        _missing = d.pop("missing", UNSET)
        missing: MissingSources | Unset
        if isinstance(_missing, Unset):
            missing = UNSET
        else:
            missing = check_missing_sources(_missing)

        move_sources = d.pop("moveSources", UNSET)

        def _parse_metadata(data: object) -> None | Unset | UploadMetadata:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                metadata_type_0 = UploadMetadata.from_dict(data)

                return metadata_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | Unset | UploadMetadata, data)

        metadata = _parse_metadata(d.pop("metadata", UNSET))

        new_upload_request = cls(
            name=name,
            files=files,
            missing=missing,
            move_sources=move_sources,
            metadata=metadata,
        )

        return new_upload_request
