from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define

from ..types import UNSET, Unset

T = TypeVar("T", bound="UploadMetadata")


@_attrs_define
class UploadMetadata:
    """What the public layout may not say; null: the files say it.

    Attributes:
        layers (int | None | Unset): layers of the model
        d_model (int | None | Unset): width of the model
        vocabulary_size (int | None | Unset): entries of the model's vocabulary
        counted_tokens (int | None | Unset): tokens that densities are shares of
        license_ (None | str | Unset): licence of the texts
        corpus_url (None | str | Unset): page where the texts are published
    """

    layers: int | None | Unset = UNSET
    d_model: int | None | Unset = UNSET
    vocabulary_size: int | None | Unset = UNSET
    counted_tokens: int | None | Unset = UNSET
    license_: None | str | Unset = UNSET
    corpus_url: None | str | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
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

        field_dict.update({})
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

        upload_metadata = cls(
            layers=layers,
            d_model=d_model,
            vocabulary_size=vocabulary_size,
            counted_tokens=counted_tokens,
            license_=license_,
            corpus_url=corpus_url,
        )

        return upload_metadata
