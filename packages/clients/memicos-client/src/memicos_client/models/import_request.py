from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define

from ..models.import_request_missing import (
    ImportRequestMissing,
    check_import_request_missing,
)
from ..types import UNSET, Unset

T = TypeVar("T", bound="ImportRequest")


@_attrs_define
class ImportRequest:
    """A dataset to import, and what its files do not say.

    Attributes:
        location (str): folder or URL in one of the import roots
        sources (list[str] | Unset): sources of the public layout; empty: all that are there
        missing (ImportRequestMissing | Unset): what to do with sources of the set that are shown and that the dataset
            lacks Default: 'refuse'.
        move_sources (bool | Unset): move sources into this set that are shown in another set Default: False.
        layers (int | None | Unset): layers of the model, if the files lack it
        d_model (int | None | Unset): width of the model, likewise
        vocabulary_size (int | None | Unset): entries of the vocabulary, likewise
        counted_tokens (int | None | Unset): tokens that densities are shares of
        license_ (None | str | Unset): licence of the texts
        corpus_url (None | str | Unset): page where they are published
    """

    location: str
    sources: list[str] | Unset = UNSET
    missing: ImportRequestMissing | Unset = "refuse"
    move_sources: bool | Unset = False
    layers: int | None | Unset = UNSET
    d_model: int | None | Unset = UNSET
    vocabulary_size: int | None | Unset = UNSET
    counted_tokens: int | None | Unset = UNSET
    license_: None | str | Unset = UNSET
    corpus_url: None | str | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        location = self.location

        sources: list[str] | Unset = UNSET
        if not isinstance(self.sources, Unset):
            sources = self.sources

        missing: str | Unset = UNSET
        if not isinstance(self.missing, Unset):
            missing = self.missing

        move_sources = self.move_sources

        layers: int | None | Unset
        if isinstance(self.layers, Unset):
            layers = UNSET
        else:
            layers = self.layers

        d_model: int | None | Unset
        if isinstance(self.d_model, Unset):
            d_model = UNSET
        else:
            d_model = self.d_model

        vocabulary_size: int | None | Unset
        if isinstance(self.vocabulary_size, Unset):
            vocabulary_size = UNSET
        else:
            vocabulary_size = self.vocabulary_size

        counted_tokens: int | None | Unset
        if isinstance(self.counted_tokens, Unset):
            counted_tokens = UNSET
        else:
            counted_tokens = self.counted_tokens

        license_: None | str | Unset
        if isinstance(self.license_, Unset):
            license_ = UNSET
        else:
            license_ = self.license_

        corpus_url: None | str | Unset
        if isinstance(self.corpus_url, Unset):
            corpus_url = UNSET
        else:
            corpus_url = self.corpus_url

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "location": location,
            }
        )
        if sources is not UNSET:
            field_dict["sources"] = sources
        if missing is not UNSET:
            field_dict["missing"] = missing
        if move_sources is not UNSET:
            field_dict["moveSources"] = move_sources
        if layers is not UNSET:
            field_dict["layers"] = layers
        if d_model is not UNSET:
            field_dict["dModel"] = d_model
        if vocabulary_size is not UNSET:
            field_dict["vocabularySize"] = vocabulary_size
        if counted_tokens is not UNSET:
            field_dict["countedTokens"] = counted_tokens
        if license_ is not UNSET:
            field_dict["license"] = license_
        if corpus_url is not UNSET:
            field_dict["corpusUrl"] = corpus_url

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        location = d.pop("location")

        sources = cast(list[str], d.pop("sources", UNSET))

        _missing = d.pop("missing", UNSET)
        missing: ImportRequestMissing | Unset
        if isinstance(_missing, Unset):
            missing = UNSET
        else:
            missing = check_import_request_missing(_missing)

        move_sources = d.pop("moveSources", UNSET)

        def _parse_layers(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        layers = _parse_layers(d.pop("layers", UNSET))

        def _parse_d_model(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        d_model = _parse_d_model(d.pop("dModel", UNSET))

        def _parse_vocabulary_size(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        vocabulary_size = _parse_vocabulary_size(d.pop("vocabularySize", UNSET))

        def _parse_counted_tokens(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        counted_tokens = _parse_counted_tokens(d.pop("countedTokens", UNSET))

        def _parse_license_(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        license_ = _parse_license_(d.pop("license", UNSET))

        def _parse_corpus_url(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        corpus_url = _parse_corpus_url(d.pop("corpusUrl", UNSET))

        import_request = cls(
            location=location,
            sources=sources,
            missing=missing,
            move_sources=move_sources,
            layers=layers,
            d_model=d_model,
            vocabulary_size=vocabulary_size,
            counted_tokens=counted_tokens,
            license_=license_,
            corpus_url=corpus_url,
        )

        return import_request
