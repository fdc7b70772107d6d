"""A small dataset of known texts: features that fire on single words, for tests of imports and of pages."""

import itertools
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
from memicos_dataset import manifest as m
from memicos_dataset import schema
from memicos_dataset.write import write_table

TEXTS = {
    "Voyages": "Call me Ishmael . The whale rose from the sea , and the ship 's crew saw its white spout .",
    "Laws": "On March 4 , 1861 , the law of the Union was read in both Houses ; the court agreed .",
    "Code": "def run ( self ) : \n\t return self . value if self . value is not None else 0 \n",
    "Numbers": "In 1969 two men , and 3 years later two more ; the 20 th of July , 21 , 22 , 25 .",
}


LICENCES = {"Voyages": "public domain", "Laws": "public domain", "Code": "PSF-2.0", "Numbers": "CC BY-SA 4.0"}


CONTEXT_SIZE = 32


BOS = "<|bos|>"


def _corpus(rng: np.random.Generator, count: int) -> tuple[list[str], list[list[int]], list[int]]:
    """Vocabulary, contexts of token ids (BOS first) and the document of each context."""
    words = {name: [f" {word}" for word in text.split(" ") if word] for name, text in TEXTS.items()}
    # a NUL, markup and a token that only logits have: pages and the database must accept them
    vocabulary = [BOS, *dict.fromkeys(itertools.chain(*words.values())), "\0", "<b>&", " whales"]
    ids = {token: i for i, token in enumerate(vocabulary)}
    contexts, documents = [], []
    for number in range(count):
        name = list(words)[number % len(words)]
        start = int(rng.integers(len(words[name])))
        window = [words[name][(start + i) % len(words[name])] for i in range(CONTEXT_SIZE - 1)]
        if number % 7 == 0:
            window[3], window[4] = "\0", "<b>&"
        contexts.append([0, *(ids[token] for token in window)])
        documents.append(number % len(words))
    return vocabulary, contexts, documents


def _features(
    rng: np.random.Generator, vocabulary: list[str], contexts: list[list[int]], count: int
) -> tuple[pa.Table, list[str | None]]:
    """Feature i fires on token i of the vocabulary (and weakly on the next); every 16th is dead."""
    tokens = np.array(contexts)
    counted = tokens[:, 1:].size
    columns: dict[str, list] = {name: [] for name in schema.FEATURES.names}
    labels: list[str | None] = []
    for index in range(count):
        token = 1 + index % (len(vocabulary) - 2)
        values = np.where(tokens == token, rng.uniform(1, 20, tokens.shape), 0.0)
        values = np.where(tokens == token + 1, rng.uniform(0.5, 3, tokens.shape), values).astype(np.float32)
        values[:, 0] = 0
        if index % 16 == 15:
            values[:] = 0
        active = values[values > 0]
        top = float(values.max())
        order = [i for i in np.argsort(-values.max(1), kind="stable") if values[i].max() > 0]
        edges = np.linspace(0, top, 6)
        examples = [(0, int(i), int(values[i].argmax())) for i in order[:10]]
        for group in range(1, 6):
            inside = np.argwhere((values > edges[group - 1]) & (values <= edges[group]))
            examples += [(group, int(c), int(p)) for c, p in inside[:4]]
        logits = np.sort(rng.normal(0, 0.5, len(vocabulary)))
        others = (index + 1 + np.arange(10)) % count
        shares = [
            float(((active > a) & (active <= b)).sum() / active.size)
            for a, b in itertools.pairwise(edges)
            if active.size
        ]
        row = {
            "index": index,
            "density": active.size / counted,
            "active_tokens": active.size,
            "max_activation": top,
            "activation_histogram": np.histogram(active, 40, (0, top))[0].tolist() if active.size else [],
            "logit_histogram": np.histogram(logits, 40)[0].tolist(),
            "logit_min": float(logits[0]),
            "logit_max": float(logits[-1]),
            "positive_token_ids": [(token + i) % len(vocabulary) for i in range(10)],
            "positive_logits": logits[::-1][:10].tolist(),
            "negative_token_ids": [(token + 20 + i) % len(vocabulary) for i in range(10)],
            "negative_logits": logits[:10].tolist(),
            "neighbour_indices": others.tolist(),
            "neighbour_cosines": np.linspace(0.9, 0.3, 10).tolist(),
            "correlated_indices": others[::-1].tolist(),
            "correlated_pearson": np.linspace(0.8, 0.1, 10).tolist(),
            "quantile_shares": shares,
            "example_groups": [group for group, _, _ in examples],
            "example_contexts": [context for _, context, _ in examples],
            "example_positions": [position for _, _, position in examples],
            "value_positions": [np.flatnonzero(values[c]).tolist() for _, c, _ in examples],
            "values": [values[c][np.flatnonzero(values[c])].tolist() for _, c, _ in examples],
        }
        for name, value in row.items():
            columns[name].append(value)
        word = vocabulary[token].strip().replace("\0", "NUL")
        labels.append(f"the word '{word}' and what follows it" if active.size else None)
    return pa.Table.from_pydict(columns, schema=schema.FEATURES), labels


def _with_attributions(features: pa.Table) -> pa.Table:
    """Each example but those of every fifth feature and of every interval has attributions to its largest value: of the
    target 2, of the token before it 3, of the first counted token -1, else 0."""
    all_values, all_targets = [], []
    for row in features.to_pylist():
        own: list[list[float]] = []
        targets = []
        for group, positions, values in zip(row["example_groups"], row["value_positions"], row["values"], strict=True):
            if row["index"] % 5 == 0 or group > 0:
                own.append([])
                targets.append(schema.NO_POSITION)
                continue
            target = positions[values.index(max(values))]
            attributions = [0.0] * CONTEXT_SIZE
            attributions[1], attributions[target - 1], attributions[target] = -1.0, 3.0, 2.0
            own.append(attributions)
            targets.append(target)
        all_values.append(own)
        all_targets.append(targets)
    for name, column in (("example_dfa_values", all_values), ("example_dfa_positions", all_targets)):
        known = schema.FEATURE_TABLE.known.field(name)
        features = features.append_column(known, pa.array(column, known.type))
    return features


SCORED_TEXTS = 6
"""Texts of each class in the scores of the dataset."""


def _scores(features: pa.Table, indices: list[int], contexts: int) -> pa.Table:
    """A score for each explanation but the last, which has a reason: of feature i the share (i mod 11) / 10.

    Active texts are the feature's first examples, inactive ones are of contexts that are not among its examples.
    """
    rows = []
    for number, index in enumerate(indices):
        feature = features.slice(index, 1).to_pylist()[0]
        active = list(
            zip(feature["example_contexts"], feature["example_positions"], feature["example_groups"], strict=True)
        )[:SCORED_TEXTS]
        others = [context for context in range(contexts) if context not in feature["example_contexts"]][:SCORED_TEXTS]
        scored = number < len(indices) - 1
        share = (index % 11) / 10
        rows.append(
            {
                "explanation": number,
                "method": "eleuther_embedding",
                "model": "all-MiniLM-L6-v2",
                "score": share if scored else None,
                "score_low": max(0.0, share - 0.1) if scored else None,
                "score_high": min(1.0, share + 0.1) if scored else None,
                "reason": None if scored else "A score needs 5 texts of each class with an answer.",
                "seed": 0,
                "around": 4,
                "text_contexts": [*(context for context, _, _ in active), *others],
                "text_positions": [*(position for _, position, _ in active), *(8 for _ in others)],
                "text_distances": [*(1 if group == 0 else 7 - group for _, _, group in active), *(-1 for _ in others)],
                "text_answers": [*(0.5 for _ in active), *(0.25 for _ in others)],
            }
        )
    return pa.Table.from_pylist(rows, schema=schema.SCORES)


def write_dataset(
    folder: Path,
    model: str = "small",
    source_set: str = "res",
    layers: tuple[int, ...] = (1, 2, 3),
    features: int = 64,
    contexts: int = 40,
    seed: int = 0,
    attributed: tuple[int, ...] = (),
) -> m.Manifest:
    """Write a dataset whose features fire on known words; returns its manifest.

    Examples of the layers `attributed` have direct feature attributions, as of sources that read attention heads.
    """
    rng = np.random.default_rng(seed)
    vocabulary, windows, of_documents = _corpus(rng, contexts)
    documents = pa.Table.from_pydict(
        {
            "document": range(len(TEXTS)),
            "title": [f"{name}, volume 1" for name in TEXTS],
            "collection": TEXTS,
        },
        schema=schema.DOCUMENTS,
    )
    collections = [
        m.Collection(name=name, license=LICENCES[name], url="https://example.org/", attribution=f"The {name}")
        for name in TEXTS
    ]
    corpus = m.Corpus(
        id="small-texts",
        description="Sentences about ships, laws, code and numbers",
        contexts=contexts,
        context_size=CONTEXT_SIZE,
        tokens=contexts * (CONTEXT_SIZE - 1),
        collections=collections,
        documents=write_table(folder, "corpus/documents.parquet", documents),
        vocabulary=write_table(
            folder,
            "corpus/vocabulary.parquet",
            pa.Table.from_pydict({"token_id": range(len(vocabulary)), "token": vocabulary}, schema=schema.VOCABULARY),
        ),
        context_files=[
            write_table(
                folder,
                "corpus/contexts.parquet",
                pa.Table.from_pydict(
                    {"context": range(contexts), "document": of_documents, "token_ids": windows},
                    schema=schema.CONTEXTS,
                ),
            )
        ],
    )
    sources = []
    for layer in layers:
        name = f"{layer}-{source_set}"
        table, labels = _features(rng, vocabulary, windows, features)
        if layer in attributed:
            table = _with_attributions(table)
        words = [(index, label) for index, label in enumerate(labels) if label]
        explanations = {
            "index": [index for index, _ in words],
            "description": [label for _, label in words],
            "method": ["token-statistics"] * len(words),
            "model": [None] * len(words),
        }
        sources.append(
            m.Source(
                id=name,
                layer=layer,
                recipe=m.Recipe(
                    hook_name=f"blocks.{layer}.hook_resid_post",
                    prepend_bos=True,
                    context_size=CONTEXT_SIZE,
                    ignored_positions=[0],
                    norm_cut=434.9,
                    dtype="float32",
                    weight_processing="none",
                ),
                architecture="jumprelu",
                d_in=16,
                d_sae=features,
                sae_config={"architecture": "jumprelu", "d_in": 16, "d_sae": features},
                counted_tokens=contexts * (CONTEXT_SIZE - 1),
                dead_features=sum(label is None for label in labels),
                # unknown for the second layer
                residual_norm=None if layer == 2 else 40.0 * layer,
                logit_effect="decoder row through the final norm's gain and the unembedding",
                features=[write_table(folder, f"{name}/features-00000.parquet", table)],
                explanations=write_table(
                    folder,
                    f"{name}/explanations.parquet",
                    pa.Table.from_pydict(explanations, schema=schema.EXPLANATIONS),
                ),
                scores=write_table(folder, f"{name}/scores.parquet", _scores(table, explanations["index"], contexts)),
            )
        )
    manifest = m.Manifest(
        release=m.Release(id=f"{model}-release", name="Small SAEs", description="For tests", creator="memicos"),
        model=m.Model(
            id=model,
            name="Small model",
            layers=4,
            d_model=16,
            vocabulary_size=len(vocabulary),
            chat=True,
            origin="random weights",
            license="Apache-2.0",
        ),
        source_set=m.SourceSet(id=source_set, name="Residual", description="Residual stream", sources=sources),
        corpus=corpus,
    )
    manifest.write(folder)
    return manifest


def remove_vocabulary_size(public: Path) -> None:
    """Remove the size of the vocabulary, which other programs do not write, from a dataset in the public layout."""
    for path in public.glob("**/model.jsonl"):
        row = json.loads(path.read_text())
        del row["vocabularySize"]
        path.write_text(json.dumps(row) + "\n")
