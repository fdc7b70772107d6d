"""Rows of the public layout from the rows of a dataset."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from memicos_dataset import manifest as m
from memicos_dataset.public_layout.activations import TOP_BIN
from memicos_dataset.public_layout.features import HISTOGRAMS, INTEGER_LISTS, NUMBER_LISTS, TEXTS, TOKEN_LISTS
from memicos_dataset.public_layout.lines import Row
from memicos_dataset.public_layout.native_tables import bin_centres
from memicos_dataset.schema import NO_POSITION, TOP_GROUP

_JSON = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE


class ContextReader:
    """Token ids of contexts by number."""

    def __init__(self, starts: np.ndarray, lengths: np.ndarray, token_ids: np.ndarray) -> None:
        self._starts, self._lengths, self._token_ids = starts, lengths, token_ids

    def __getitem__(self, context: int) -> np.ndarray:
        start = self._starts[context]
        return np.array(self._token_ids[start : start + self._lengths[context]])


@dataclass(frozen=True)
class PublicRows:
    """Makes the rows of one source."""

    model_id: str
    set_id: str
    source_id: str
    strings: Mapping[int, str]
    contexts: ContextReader
    known_ids: bool

    def features(self, batch: pa.RecordBatch) -> Iterator[bytes]:
        for row in _rows(batch):
            yield orjson.dumps(self._feature(row), option=_JSON)

    def activations(self, batch: pa.RecordBatch) -> Iterator[bytes]:
        for row in _rows(batch):
            for number in range(len(row["example_groups"])):
                yield orjson.dumps(self._activation(row, number), option=_JSON)

    def explanations(self, batch: pa.RecordBatch, first: int) -> Iterator[bytes]:
        """`first`: number of the batch's first row in the source, for ids."""
        for number, row in enumerate(_rows(batch), first):
            public = {
                "id": f"{self.model_id}-{self.source_id}-explanation-{number}",
                **self._key(row["index"]),
                "description": row["description"],
                "typeName": row["method"],
                "explanationModelName": row["model"],
            }
            if row.get("embedding"):
                public["embedding"] = _floats(row["embedding"])
            yield orjson.dumps(public | _extra(row.get("extra")), option=_JSON)

    def _key(self, index: int) -> Row:
        return {"modelId": self.model_id, "layer": self.source_id, "index": str(index)}

    def _feature(self, row: Row) -> Row:
        top, low, high = row["max_activation"], row["logit_min"], row["logit_max"]
        bins = {
            "activation_bin_values": row.get("activation_bin_values")
            or bin_centres(0.0, top, len(row["activation_histogram"])),
            "logit_bin_values": row.get("logit_bin_values") or bin_centres(low, high, len(row["logit_histogram"])),
        }
        public: Row = self._key(row["index"]) | {
            "sourceSetName": self.set_id,
            "frac_nonzero": np.float32(row["density"]),
            "maxActApprox": np.float32(top),
        }
        public |= {field: _floats(bins.get(name, row.get(name) or [])) for name, field in NUMBER_LISTS.items()}
        public |= {field: row.get(name) or [] for name, field in (INTEGER_LISTS | HISTOGRAMS).items()}
        for name, (strings, ids) in TOKEN_LISTS.items():
            public[strings] = [self.strings[token_id] for token_id in row[name]]
            if self.known_ids:
                public[ids] = row[name]
        public |= {field: row.get(name) for name, field in TEXTS.items()}
        strength = row.get("steering_strength")
        public["vectorDefaultSteerStrength"] = None if strength is None else np.float32(strength)
        public["hasVector"] = bool(row.get("decoder_vector"))
        return public | _extra(row.get("extra"))

    def _activation(self, row: Row, number: int) -> Row:
        token_ids = self.contexts[row["example_contexts"][number]]
        values = np.zeros(len(token_ids), dtype=np.float32)
        values[row["value_positions"][number]] = row["values"][number]
        group = row["example_groups"][number]
        low, high, share = _interval(row, group)
        public: Row = {
            "id": f"{self.model_id}-{self.source_id}-{row['index']}-{number}",
            **self._key(row["index"]),
            "tokens": [self.strings[token_id] for token_id in token_ids.tolist()],
            "values": values,
            "maxValue": values.max(),
            "maxValueTokenIndex": int(values.argmax()),
            "minValue": values.min(),
            "qualifyingTokenIndex": row["example_positions"][number],
            "binMin": low,
            "binMax": high,
            "binContains": share,
        }
        if self.known_ids:
            public["tokenIds"] = token_ids
        dfa = (row.get("example_dfa_values") or [[]] * (number + 1))[number]
        if dfa:
            target = row["example_dfa_positions"][number] if row.get("example_dfa_positions") else NO_POSITION
            attributions = _floats(dfa)
            public |= {"dfaValues": attributions, "dfaMaxValue": attributions.max()}
            public["dfaTargetIndex"] = None if target == NO_POSITION else target
        extra = row.get("example_extra")
        return public | _extra(extra[number] if extra else None)


def _interval(row: Row, group: int) -> tuple[Any, Any, Any]:
    """`binMin`, `binMax` and `binContains` of a group."""
    top = np.float32(row["max_activation"])
    if group == TOP_GROUP:
        return TOP_BIN, top, TOP_BIN
    share = np.float32(row["quantile_shares"][group - 1])
    if row.get("quantile_minima"):
        return np.float32(row["quantile_minima"][group - 1]), np.float32(row["quantile_maxima"][group - 1]), share
    count = len(row["quantile_shares"])
    return np.float32(top * (group - 1) / count), np.float32(top * group / count), share


def _rows(batch: pa.RecordBatch) -> list[Row]:
    return batch.to_pylist()


def _floats(values: Sequence[float] | np.ndarray) -> np.ndarray:
    """As float32, whose shortest decimal form is written."""
    return np.asarray(values, dtype=np.float32)


def _extra(content: str | None) -> Row:
    return orjson.loads(content) if content else {}


def metadata_rows(manifest: m.Manifest, source: m.Source) -> dict[str, Row]:
    """The rows of `release.jsonl`, `model.jsonl`, `sourceset.jsonl` and `source.jsonl`.

    Rows that the source was converted from are kept, with the identifiers of the dataset.
    """
    kept = source.public_rows or {}
    release, model, source_set, corpus = manifest.release, manifest.model, manifest.source_set, manifest.corpus
    urls = [] if release.url is None else [release.url]
    visibility = {"visibility": "PUBLIC"}
    made: dict[str, Row] = {
        "release": {
            "name": release.id,
            "description": release.name,
            "descriptionShort": release.description,
            "creatorName": release.creator,
            "urls": urls,
            **visibility,
        },
        "model": {
            "id": model.id,
            "displayName": model.name,
            "displayNameShort": model.name,
            "instruct": model.chat,
            "layers": model.layers or 0,
            "neuronsPerLayer": 0,
            "dimension": model.d_model,
            # a key of memicos
            "vocabularySize": model.vocabulary_size,
            "owner": model.origin,
            "website": model.url,
            **visibility,
        },
        "sourceset": {
            "modelId": model.id,
            "name": source_set.id,
            "description": source_set.name,
            "type": source_set.description,
            "creatorName": release.creator,
            "releaseName": release.id,
            "urls": urls,
            "hasDashboards": True,
            **visibility,
        },
        "source": {
            "id": source.id,
            "modelId": model.id,
            "setName": source_set.id,
            "saelensConfig": source.sae_config,
            "hasDashboards": True,
            "num_prompts": corpus.contexts,
            "num_tokens_in_prompt": corpus.context_size,
            "countedTokens": source.counted_tokens,
            "dataset": corpus.id,
            # the layout has one text for all; what must be said of it goes along
            "datasetUrl": corpus.collections[0].url if corpus.collections else None,
            "datasetLicense": "; ".join(dict.fromkeys(own.license for own in corpus.collections)),
            "datasetAttribution": "; ".join(dict.fromkeys(own.attribution for own in corpus.collections)),
            **visibility,
        },
    }
    return {name: row | kept.get(name, {}) for name, row in made.items()}
