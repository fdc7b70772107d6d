"""docs/saelens-directory.md and .json: which SAEs of the installed SAELens' directory are served.

python scripts/saelens_directory.py write    write both from the installed SAELens
python scripts/saelens_directory.py hub      read the configuration of each SAE that is decided at add from the hub,
                                             record what was decided, and write both; exit status 2 where the
                                             hub cannot be reached, so that nothing was tried
"""

import json
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path
from textwrap import fill
from typing import Any

import httpx
import sae_lens
import yaml
from huggingface_hub import constants
from memicos_engine.errors import RecipeError, SourceError
from memicos_engine.model.hub import explain_error
from memicos_engine.sources.saelens_support import DEFAULT_LOADER, entry_support
from memicos_engine.sources.source_loading import read_pretrained_info
from sae_lens.loading.pretrained_saes_directory import PretrainedSAELookup, get_pretrained_saes_directory

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs" / "saelens-directory.md"
DATA = DOCUMENT.with_suffix(".json")
UNDECIDED = "decided at add"
STATUSES = ("served", "refused", UNDECIDED)
OUTCOMES = ("served", "refused", "not read")
NOT_TRIED = 2
"""Exit status where the hub cannot be reached; 1 is for a hub that has none of the configurations."""
CONNECT_SECONDS = 10
HUB_REQUESTS = 8
"""Configurations that are read from the hub at the same time."""
CENTRED = (
    "The model is run as it is published. SAEs of these releases were trained on a model whose writing weights "
    "TransformerLens centres, which is not done here: {}."
)
COPIES = (
    "Searches of SAELens' pretrained_saes.yaml for `repo_id:` and `path:` find {repo_ids:,} and {paths:,}: an entry of "
    "`{release}` has in it a copy of its own release, with {saes} paths that are in the list already."
)
INTRODUCTION = """# SAELens' directory

SAEs that SAELens publishes in its directory, by whether memicos serves them. Written by `make saelens-directory` from
the installed SAELens ({version}); [saelens-directory.json](saelens-directory.json) has the same as data.

- *served*: SAELens' loader fixes architecture, hook and normalisation, and memicos runs all of them.
- *refused*: they would give wrong values. The source is refused with the reason, before its weights are fetched.
- *decided at add*: the SAE's own configuration on the hub decides; the source is served, or refused with the reason.

Each is named in `SAE_SETS` and `memicos sae add` as `saelens:<release>/<sae_id>`, all of a release as
`saelens:<release>`, and those with a Neuronpedia id by their set as well.

{centred}

{counts}{copies}

## By loader

A loader is SAELens' reader of a layout of files. "On the hub" is what `make test-hub` recorded of the SAEs that are
decided at add: it reads their configurations, where the hub can be reached.

{loaders}

## By release

{releases}
"""


def directory_data(hub_outcomes: dict[str, Any]) -> dict[str, Any]:
    """The content of saelens-directory.json. `hub_outcomes` by release, as `outcomes_on_hub` returns them."""
    entries = sorted(get_pretrained_saes_directory().values(), key=lambda entry: entry.release)
    releases = [_release_row(entry) for entry in entries]
    known = {row["release"] for row in releases}
    return {
        "sae_lens": sae_lens.__version__,
        "total": _sums(releases),
        "releases": releases,
        "on_hub": {release: hub_outcomes[release] for release in sorted(hub_outcomes) if release in known},
    }


def _release_row(entry: PretrainedSAELookup) -> dict[str, Any]:
    decisions = list(entry_support(entry).values())
    counts = Counter(decision.status for decision in decisions)
    reasons = dict.fromkeys(decision.reason for decision in decisions if decision.reason)
    loader = entry.conversion_func or DEFAULT_LOADER
    processing = (entry.config_overrides or {}).get("model_from_pretrained_kwargs")
    centred = isinstance(processing, dict) and bool(processing.get("center_writing_weights"))
    row = {"release": entry.release, "repository": entry.repo_id, "loader": loader, "centred": centred}
    row["saes"] = len(decisions)
    return row | {status: counts[status] for status in STATUSES} | {"reasons": list(reasons)}


def _sums(rows: Sequence[dict[str, Any]]) -> dict[str, int]:
    return {"releases": len(rows)} | {name: sum(row[name] for row in rows) for name in ("saes", *STATUSES)}


def copies_in_entries() -> list[tuple[str, str, list[str]]]:
    """Releases inside an entry of SAELens' file, which SAELens does not read: that of the entry, repository, paths."""
    content = yaml.safe_load((files("sae_lens") / "pretrained_saes.yaml").read_text(encoding="utf-8"))
    return [
        (release, inner["repo_id"], [sae["path"] for sae in inner["saes"]])
        for release, entry in content.items()
        for inner in entry["saes"]
        if "saes" in inner
    ]


def _copies_text(total: dict[str, int]) -> str:
    """Why the lines of SAELens' file are more than its releases and SAEs; empty where they are not."""
    sentences: list[str] = []
    repo_ids, paths = total["releases"], total["saes"]
    for release, _, copied in copies_in_entries():
        repo_ids, paths = repo_ids + 1, paths + len(copied)
        sentences.append(COPIES.format(repo_ids=repo_ids, paths=paths, release=release, saes=len(copied)))
    return "".join("\n\n" + fill(sentence, 120, break_on_hyphens=False) for sentence in sentences)


def document_text(data: dict[str, Any]) -> str:
    """The content of saelens-directory.md."""
    releases = data["releases"]
    total = data["total"]
    counts = (
        f"{total['saes']:,} SAEs in {total['releases']} releases: {total['served']:,} are served, {total['refused']:,} "
        f"refused, {total[UNDECIDED]:,} decided at add."
    )
    by_loader = [[row for row in releases if row["loader"] == name] for name in sorted({r["loader"] for r in releases})]
    centred = [f"`{row['release']}`" for row in releases if row["centred"]]
    return INTRODUCTION.format(
        centred=fill(CENTRED.format(", ".join(centred)), 120, break_on_hyphens=False),
        version=data["sae_lens"],
        counts=counts,
        copies=_copies_text(total),
        loaders=_table(
            ("loader", "releases", "SAEs", *STATUSES, "reason", "on the hub"),
            [_loader_cells(rows, data["on_hub"]) for rows in by_loader],
        ),
        releases=_table(
            ("release", "loader", "SAEs", *STATUSES),
            [[row["release"], row["loader"], *_numbers(row[name] for name in ("saes", *STATUSES))] for row in releases],
        ),
    )


def _loader_cells(rows: Sequence[dict[str, Any]], on_hub: dict[str, Any]) -> list[str]:
    sums = _sums(rows)
    reasons = dict.fromkeys(reason for row in rows for reason in row["reasons"])
    outcomes = [on_hub[row["release"]] for row in rows if row["release"] in on_hub]
    recorded = {name: sum(sum(outcome[name].values()) for outcome in outcomes) for name in OUTCOMES}
    hub = ", ".join(f"{count:,} {name}" for name, count in recorded.items() if count) or "not tried"
    return [rows[0]["loader"], *_numbers(sums.values()), "; ".join(reasons), hub if sums[UNDECIDED] else ""]


def _numbers(values: Iterable[int]) -> list[str]:
    return [f"{value:,}" for value in values]


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def outcomes_on_hub(entries: Iterable[PretrainedSAELookup]) -> dict[str, dict[str, dict[str, int]]]:
    """For each release with SAEs that are decided at add: their number by outcome and, in it, by reason.

    Outcomes are those of OUTCOMES; the reason of "served" is the architecture. Reads the configuration of each SAE;
    of a release whose first cannot be reached, of no other.
    """
    undecided = {
        entry.release: [sae_id for sae_id, support in entry_support(entry).items() if support.status == UNDECIDED]
        for entry in entries
    }
    first = [(release, sae_ids[0]) for release, sae_ids in undecided.items() if sae_ids]
    outcomes: dict[str, dict[str, dict[str, int]]] = {release: {name: {} for name in OUTCOMES} for release, _ in first}
    with ThreadPoolExecutor(HUB_REQUESTS) as pool:

        def record(jobs: list[tuple[str, str]]) -> None:
            for (release, _), (outcome, reason) in zip(jobs, pool.map(lambda job: _outcome(*job), jobs), strict=True):
                counts = outcomes[release][outcome]
                counts[reason] = counts.get(reason, 0) + 1

        record(first)
        reached = [release for release, _ in first if not outcomes[release]["not read"]]
        record([(release, sae_id) for release in reached for sae_id in undecided[release][1:]])
    return outcomes


def _outcome(release: str, sae_id: str) -> tuple[str, str]:
    location = f"{release} {sae_id}"
    try:
        return "served", read_pretrained_info(release, sae_id, "0-x").architecture
    except (RecipeError, SourceError) as error:
        return "refused", str(error).removeprefix(f"{location} is not a source that can be loaded: ")
    except OSError as error:
        repo = get_pretrained_saes_directory()[release].repo_id
        return "not read", explain_error(error, repo, has_token=False) or str(error)


def unreachable_hub() -> str | None:
    """Why the hub cannot be reached; None if it can, or if only its cache is read.

    Sends one request: the hub's client would repeat each of thousands for half a minute.
    """
    if constants.HF_HUB_OFFLINE:
        return None
    try:
        httpx.head(constants.ENDPOINT, timeout=CONNECT_SECONDS)
    except httpx.HTTPError as error:
        reason = str(error) or type(error).__name__
        return f"{constants.ENDPOINT} cannot be reached ({reason}); HF_HUB_OFFLINE=1 reads what is in the hub's cache"
    return None


def recorded_outcomes() -> dict[str, Any]:
    """What `hub` recorded before."""
    return json.loads(DATA.read_text(encoding="utf-8"))["on_hub"] if DATA.exists() else {}


def write(hub_outcomes: dict[str, Any]) -> None:
    data = directory_data(hub_outcomes)
    DATA.write_text(data_text(data), encoding="utf-8")
    DOCUMENT.write_text(document_text(data), encoding="utf-8")


def data_text(data: dict[str, Any]) -> str:
    """JSON with one line for each release."""
    parts = {name: json.dumps(value, ensure_ascii=False) for name, value in data.items()}
    parts["releases"] = "[\n" + ",\n".join(json.dumps(row, ensure_ascii=False) for row in data["releases"]) + "\n]"
    return "{\n" + ",\n".join(f'"{name}": {text}' for name, text in parts.items()) + "\n}\n"


def main(arguments: Sequence[str]) -> int:
    if list(arguments) not in (["write"], ["hub"]):
        print(__doc__)
        return 2
    recorded = recorded_outcomes()
    if arguments[0] == "hub":
        if reason := unreachable_hub():
            print(f"not tried: no configuration was read, and nothing was written, because {reason}", file=sys.stderr)
            return NOT_TRIED
        outcomes = outcomes_on_hub(get_pretrained_saes_directory().values())
        # releases that could not be reached keep what was recorded before
        reached = {name: found for name, found in outcomes.items() if found["served"] or found["refused"]}
        for release in sorted(set(outcomes) - set(reached)):
            print(f"{release}: {next(iter(outcomes[release]['not read']))}", file=sys.stderr)
        print(f"{len(reached)} of {len(outcomes)} releases were read from the hub")
        recorded |= reached
        if not reached:
            return 1
    write(recorded)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
