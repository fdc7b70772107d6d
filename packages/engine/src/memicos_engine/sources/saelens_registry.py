"""Lookup in SAELens' directory of published SAEs by Neuronpedia ids, `<model>/<layer>-<set>`."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # SAELens imports torch
    from sae_lens.loading.pretrained_saes_directory import PretrainedSAELookup


_LAYER = re.compile(r"(?:layer_?|blocks\.)([0-9]+)")
_INVALID_IN_ID = re.compile(r"[^\w.-]+")


@dataclass(frozen=True)
class PublishedSae:
    """An SAE of the directory: SAELens' `release` and `sae_id`, and the hub's repository with the path in it."""

    source_id: str
    release: str
    sae_id: str
    repo: str
    path: str


@cache
def hub_models() -> dict[str, str]:
    """The `model` of the releases, a hub id or a TransformerLens name, by Neuronpedia model id."""
    return {model: entry.model for entry in _releases() for model in _models(entry)}


def recorded_metrics(release: str, sae_id: str) -> dict[str, float]:
    """`l0` and `explained_variance` of an SAE in SAELens' directory, where they are recorded."""
    from sae_lens.loading.pretrained_saes_directory import get_pretrained_saes_directory

    entry = get_pretrained_saes_directory()[release]
    l0, explained = entry.expected_l0.get(sae_id), entry.expected_var_explained.get(sae_id)
    # the directory has 0 and 1 as defaults for unknown values
    return {
        name: float(value)
        for name, value in (("l0", l0), ("explained_variance", explained))
        if value not in (None, 0.0, 1.0)
    }


@cache
def published_saes(model: str) -> dict[str, list[PublishedSae]]:
    """The SAEs of a Neuronpedia model, by set: the part of the source id after its first `-`."""
    by_set: dict[str, list[PublishedSae]] = {}
    for entry in _releases():
        for sae_id in entry.neuronpedia_id:
            owner, _, source_id = _neuronpedia_id(entry, sae_id).partition("/")
            if owner == model:
                sae = PublishedSae(source_id, entry.release, sae_id, entry.repo_id, entry.saes_map[sae_id])
                by_set.setdefault(source_id.partition("-")[2], []).append(sae)
    return by_set


def release_saes(release: str, sae_id: str | None) -> list[PublishedSae]:
    """The SAEs of a release, or the one with SAELens' `sae_id`.

    The source id is the Neuronpedia id where the directory has one, else `<layer>-<release>-<rest of sae_id>`.

    Raises:
        KeyError: there is no such release, or no such SAE in it.
    """
    from sae_lens.loading.pretrained_saes_directory import get_pretrained_saes_directory

    entry = get_pretrained_saes_directory()[release]
    sae_ids = list(entry.saes_map) if sae_id is None else [sae_id]
    return [
        PublishedSae(_source_id(entry, key), entry.release, key, entry.repo_id, entry.saes_map[key]) for key in sae_ids
    ]


def release_models(release: str) -> set[str]:
    """The Neuronpedia models of a release. Raises KeyError where there is no such release."""
    from sae_lens.loading.pretrained_saes_directory import get_pretrained_saes_directory

    return _models(get_pretrained_saes_directory()[release])


def release_names(release: str) -> tuple[list[str], list[str]]:
    """The `sae_id` of each SAE of a release; and where there is no such release, the names that are like it."""
    from sae_lens.loading.pretrained_saes_directory import get_pretrained_saes_directory

    directory = get_pretrained_saes_directory()
    if release in directory:
        return list(directory[release].saes_map), []
    return [], difflib.get_close_matches(release, directory, n=10, cutoff=0.5)


def _source_id(entry: PretrainedSAELookup, sae_id: str) -> str:
    neuronpedia_id = _neuronpedia_id(entry, sae_id)
    if neuronpedia_id:
        return neuronpedia_id.partition("/")[2]
    match = _LAYER.search(sae_id)
    layer = match.group(1) if match else "e"
    rest = _LAYER.sub("", sae_id, count=1) if match else sae_id
    return f"{layer}-{entry.release}-{_INVALID_IN_ID.sub('-', rest).strip('-._')}".rstrip("-")


def _neuronpedia_id(entry: PretrainedSAELookup, sae_id: str) -> str:
    """`<model>/<layer>-<set>`; "" where the directory has none, or one of another layer.

    Some ids count the residual stream after the last layer as the next layer.
    """
    name = entry.neuronpedia_id.get(sae_id) or ""
    layer, match = name.partition("/")[2].partition("-")[0], _LAYER.search(sae_id)
    return "" if match and layer.isdecimal() and abs(int(layer) - int(match.group(1))) > 1 else name


def matching_models(names: Sequence[str]) -> list[str]:
    """Ids of the directory's models that match one of `names` by id or hub id, with or without the suffix `-it`."""
    from memicos_engine.model.model_names import hub_id

    models = hub_models()
    by_hub_id: dict[str, list[str]] = {}
    for model, name in models.items():
        by_hub_id.setdefault(hub_id(name) or name, []).append(model)
    matches: list[str] = []
    for name in names:
        for variant in (name, name.removesuffix("-it")):
            matches += [variant] if variant in models else []
            matches += by_hub_id.get(hub_id(variant) or "", [])
    return list(dict.fromkeys(matches))


def _releases() -> list[PretrainedSAELookup]:
    from sae_lens.loading.pretrained_saes_directory import get_pretrained_saes_directory

    return list(get_pretrained_saes_directory().values())


def _models(entry: PretrainedSAELookup) -> set[str]:
    return {name.partition("/")[0] for name in entry.neuronpedia_id.values() if name}
