"""Speed of reading and importing the public layout, beside decompressing and parsing its files alone, and beside the
known way to import it; peak memory and size.

    .venv/bin/python benchmarks/data/public_layout.py                       # a source made up from the demo's texts
    .venv/bin/python benchmarks/data/public_layout.py --features 131072
    .venv/bin/python benchmarks/data/public_layout.py v1/gpt2-small/9-res-jb --import

Prints the seconds of processor time (which other programs change little) of a conversion to the native format, of
`gzip` and `json` of the standard library, and of `isal` and `orjson`, which the conversion uses, over the same files in
the same run; the conversion's peak memory in a process of its own; and the bytes of the native format for each feature.

`--import` also imports the source into an empty database, conversion included, and stores it the known way
(`one_row_each.py`): seconds of the clock, features a second, bytes on disk.
"""

import argparse
import asyncio
import gzip
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import asyncpg
import databases
import numpy as np
import one_row_each
import orjson
from isal import igzip
from memicos_dataset import read
from memicos_dataset.conversion.conversion_folder import Options
from memicos_dataset.conversion.native import to_native
from memicos_dataset.folder import Folder
from memicos_dataset.public_layout.files import source_folders
from memicos_webapp.datasets.running_import import ImportOptions
from memicos_webapp.datasets.service import load

DEMO = Path(__file__).parents[2] / "demo" / "dataset"
EXAMPLES = 45
"""Activation rows of a feature: 20 strongest and 5 of each of 5 intervals."""
ROWS_OF_BATCH = 1024


def make_source(folder: Path, features: int, examples: int = EXAMPLES) -> Path:
    """Write features with random values on the demo's contexts, in the layout of a public source."""
    rng = np.random.default_rng(0)
    manifest = read.read_manifest(DEMO)
    strings: dict[int, str] = {}
    for batch in read.vocabulary(DEMO, manifest):
        strings.update(zip(batch.column("token_id").to_pylist(), batch.column("token").to_pylist(), strict=True))
    windows = [
        [strings[i] for i in row]
        for batch in read.contexts(DEMO, manifest)
        for row in batch.column("token_ids").to_pylist()
    ]
    source = folder / "v1" / "made-up" / "0-res"
    for kind in ("features", "activations"):
        (source / kind).mkdir(parents=True)
    row = {"num_prompts": 8192, "num_tokens_in_prompt": 128, "dataset": "owner/texts"}
    (source / "source.jsonl").write_text(json.dumps(row))
    for first in range(0, features, ROWS_OF_BATCH):
        indices = range(first, min(first + ROWS_OF_BATCH, features))
        name = f"batch-{first // ROWS_OF_BATCH}.jsonl.gz"
        _write(source / "features" / name, (_feature(index, rng) for index in indices))
        _write(
            source / "activations" / name,
            (_activation(index, number, windows, rng) for index in indices for number in range(examples)),
        )
    return source


def write_explanations(source: Path, features: int, model: str) -> None:
    """Write an explanation of each feature, by `model`."""
    (source / "explanations").mkdir(exist_ok=True)
    for first in range(0, features, ROWS_OF_BATCH):
        _write(
            source / "explanations" / f"batch-{first // ROWS_OF_BATCH}.jsonl.gz",
            (
                {
                    "modelId": "made-up",
                    "layer": "0-res",
                    "index": str(index),
                    "description": f"words that stand beside the number {index}",
                    "typeName": "oai_token-act-pair",
                    "explanationModelName": model,
                }
                for index in range(first, min(first + ROWS_OF_BATCH, features))
            ),
        )


def _write(path: Path, rows: Iterable[dict[str, object]]) -> None:
    with igzip.IGzipFile(str(path), "wb", 1) as file:
        file.writelines(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows)


def _numbers(rng: np.random.Generator, count: int) -> list[float]:
    return np.round(rng.uniform(0, 9, count), 5).tolist()


def _feature(index: int, rng: np.random.Generator) -> dict[str, object]:
    counts = rng.integers(0, 500, 100).tolist()
    return {
        "modelId": "made-up",
        "layer": "0-res",
        "index": str(index),
        "maxActApprox": 10.0,
        "frac_nonzero": 0.001,
        "freq_hist_data_bar_heights": counts[:50],
        "freq_hist_data_bar_values": np.round(np.arange(0.1, 10, 0.2), 3).tolist(),
        "logits_hist_data_bar_heights": counts[50:],
        "logits_hist_data_bar_values": np.round(np.arange(-2.45, 2.5, 0.1), 3).tolist(),
        **{name: [f"token{i}" for i in range(10)] for name in ("pos_str", "neg_str")},
        **{name: _numbers(rng, 10) for name in ("pos_values", "neg_values")},
    }


def _activation(index: int, number: int, windows: list[list[str]], rng: np.random.Generator) -> dict[str, object]:
    tokens = windows[int(rng.integers(len(windows)))]
    values = np.zeros(len(tokens))
    values[rng.integers(0, len(tokens), 8)] = np.round(rng.uniform(0, 10, 8), 3)
    group = number // 5 - 4
    top = group < 0
    return {
        "id": f"c{index:010d}{number:014d}",
        "modelId": "made-up",
        "layer": "0-res",
        "index": str(index),
        "tokens": tokens,
        "values": values.tolist(),
        "maxValue": float(values.max()),
        "maxValueTokenIndex": int(values.argmax()),
        "minValue": 0.0,
        "binMin": -1 if top else group * 2.0,
        "binMax": 10.0 if top else group * 2.0 + 2,
        "binContains": -1 if top else 0.2,
        "dfaValues": [],
    }


def parse_all(
    paths: list[Path], decompressed: type[gzip.GzipFile], parse: Callable[[bytes], object]
) -> tuple[float, int]:
    """Seconds of processor time, and bytes of the decompressed lines."""
    started, size = time.process_time(), 0
    for path in paths:
        with decompressed(str(path), "rb") as file:
            for line in file:
                size += len(line)
                parse(line)
    return time.process_time() - started, size


def convert(source: str, out: Path) -> None:
    """Convert; print seconds of processor time and peak memory in MiB."""
    started = time.process_time()
    to_native(source, out, Options(), lambda line: None)
    seconds = time.process_time() - started
    print(json.dumps([seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))


async def import_both(source: Path, folder: Path) -> tuple[float, int, float, int]:
    """Seconds of an import and bytes on disk, and those of the known way."""
    shape = {"layers": 64, "d_model": 4096, "vocabulary_size": 1 << 20}
    options = ImportOptions(conversions=str(folder / "conversions"), metadata=shape, ignore_space=True)
    async with databases.new_server() as server:
        url = await databases.copy_database(server, "imported")
        started = time.perf_counter()
        await load(source, url, options)
        seconds = time.perf_counter() - started
        known = await asyncpg.connect(await databases.copy_database(server, "known"))
        own = await asyncpg.connect(url)
        try:
            size = await databases.size(own)
            await one_row_each.create(known)
            return seconds, size, await one_row_each.load(known, source), await one_row_each.size(known)
        finally:
            await own.close()
            await known.close()


def main() -> None:
    parser = argparse.ArgumentParser(description="Speed of reading the public layout.")
    parser.add_argument("source", nargs="?", help="local folder of a source; without it one is made up")
    parser.add_argument("--features", type=int, default=2048, help="features of the source that is made up")
    parser.add_argument("--import", dest="imported", action="store_true", help="also import it, also the known way")
    parser.add_argument("--convert", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.convert:
        convert(args.source, args.convert)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        source = Path(args.source) if args.source else make_source(folder, args.features)
        started = time.perf_counter()
        paths = [source / batch.path for batch in source_folders(Folder.of(source))[0].batches]
        plain, size = parse_all(paths, gzip.GzipFile, json.loads)
        clock = time.perf_counter() - started
        fast, _ = parse_all(paths, igzip.IGzipFile, orjson.loads)
        out = folder / "native"
        command = [sys.executable, __file__, str(source), "--convert", str(out)]
        process = subprocess.run(command, capture_output=True, text=True, check=True)
        seconds, memory = json.loads(process.stdout)
        manifest = read.read_manifest(out)
        features = sum(entry.rows for own in manifest.source_set.sources for entry in own.features)
        native_bytes = sum(entry.bytes for entry in manifest.files())
        both = asyncio.run(import_both(source, folder)) if args.imported else None
    compressed = f"{size / 2**20:,.0f} MiB of lines"
    print(f"{features:,} features, {len(paths)} files, {compressed}")
    print(
        f"conversion: {seconds:.1f} s of processor time, {features / seconds:,.0f} features/s, peak {memory:,.0f} MiB"
    )
    print(f"gzip and json alone: {plain:.1f} s; the conversion has {plain / seconds:.2f}x their speed")
    print(f"isal and orjson alone: {fast:.1f} s; the conversion has {fast / seconds:.2f}x their speed")
    print(f"native format: {native_bytes / features:,.0f} bytes for each feature, contexts included")
    if both:
        imported, own_bytes, known, known_bytes = both
        print(f"import: {imported:.1f} s of the clock, {features / imported:,.0f} features/s")
        print(f"gzip and json alone: {clock:.1f} s of the clock; the import has {clock / imported:.2f}x their speed")
        print(
            f"known way: {known:.1f} s, {features / known:,.0f} features/s; "
            f"the import has {known / imported:.1f}x its speed"
        )
        print(
            f"on disk: {own_bytes / features:,.0f} bytes for each feature; the known way {known_bytes / features:,.0f}"
        )


if __name__ == "__main__":
    main()
