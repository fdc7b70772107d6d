"""Precision of the search by meaning, for eight one-word queries over the demo's dataset.

Imports the dataset into a temporary PostgreSQL, embeds its explanations and sends each query to the webapp's
`POST /api/explanation/search-model`. A result is right when at least 6 of the feature's 10 strongest examples fire on
the class of the query: a pattern below, independent of the lexicon that wrote the explanations, must match at the
token. Prints for each query the number of right results among the first 10, beside that of random features.

    python benchmarks/search_quality.py
"""

import argparse
import asyncio
import random
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import httpx
from memicos_dataset import read
from memicos_dataset.manifest import Manifest
from memicos_embeddings.registry import open_registry
from memicos_webapp.app import create_app
from memicos_webapp.database.embedded import temporary
from memicos_webapp.database.migrate import migrate
from memicos_webapp.datasets.service import load
from memicos_webapp.embeddings.background import embedder_config
from memicos_webapp.embeddings.service import embed_missing
from memicos_webapp.settings import Settings

RESULTS, RIGHT_RESULTS, RIGHT_AT_RANDOM = 10, 6, 2
EXAMPLES, RIGHT_EXAMPLES = 10, 6
DRAWS = 200
"""Draws of 10 random features whose mean is printed; the limit RIGHT_AT_RANDOM applies to the first draw."""

MONTH = r"(?:January|February|March|April|May|June|July|August|September|October|November|December)"
WEEKDAY = r"(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)days?"
COUNTRIES = """Afghanistan Albania Algeria Andorra Angola Argentina Armenia Australia Austria Azerbaijan Bahamas Bahrain
Bangladesh Barbados Belarus Belgium Belize Benin Bhutan Bolivia Bosnia Botswana Brazil Brunei Bulgaria Burma Burundi
Cambodia Cameroon Canada Chad Chile China Colombia Congo Croatia Cuba Cyprus Czechoslovakia Denmark Djibouti Dominica
Ecuador Egypt England Eritrea Estonia Ethiopia Fiji Finland France Gabon Gambia Germany Ghana Grenada Greece Guatemala
Guinea Guyana Haiti Holland Honduras Hungary Iceland India Indonesia Iran Iraq Ireland Israel Italy Jamaica Japan Jordan
Kazakhstan Kenya Kosovo Korea Kuwait Kyrgyzstan Laos Latvia Lebanon Lesotho Liberia Libya Liechtenstein Lithuania
Luxembourg Macedonia Madagascar Malawi Malaysia Maldives Mali Malta Mauritius Mexico Moldova Monaco Mongolia Montenegro
Morocco Mozambique Myanmar Namibia Nepal Netherlands Nicaragua Niger Nigeria Norway Oman Pakistan Palestine Panama
Paraguay Peru Persia Philippines Poland Portugal Prussia Qatar Romania Russia Rwanda Samoa Scotland Senegal Serbia
Singapore Slovakia Slovenia Somalia Spain Sudan Suriname Sweden Switzerland Syria Taiwan Tajikistan Tanzania Thailand
Togo Tonga Tunisia Turkey Turkmenistan Uganda Ukraine Uruguay Uzbekistan Vatican Venezuela Vietnam Wales Yemen
Yugoslavia Zambia Zimbabwe"""
NUMBER_WORDS = """one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundreds? thousands? millions?
billions? trillions? dozens? first second third fourth fifth sixth seventh eighth ninth tenth half halves
twice"""
SEA = r"""seas? sea\w+ oceans? oceanic whal\w+ ships? ship\w+ boats? boat\w* vessels? sail\w* sailors? mariners?
marin\w+ maritime nav\w+ captains? crews? decks? masts? mast-heads? harpoon\w* oars?\w* anchor\w* harbou?rs?
ports? wharf docks? hulls? helm\w* rudder keel cabins? waves? tides? surf spouts? spout\w* coasts? coastal
shores? beach\w* islands? isles? voyag\w+ aboard overboard starboard larboard leeward windward fish\w* sharks?
dolphins? squid leviathans? sperm blubber fins? flukes? frigates? schooners? brigs? steamers? steamships?
submarines? fleets? Pequod swim\w* lagoons? reefs? bays? gulf straits? sink\w* sank sunk drown\w* barnacles?
forecastle rigging lanyards? yards? bows? stern bulwarks? lances? mates? seals? salmon cod nautical pilots?
Nantucket\w*"""
LAW = r"""laws? law\w+ legal\w* illegal\w* courts? judg\w+ judicia\w+ jur\w+ just justice\w* injustice attorneys?
statut\w+ legislat\w+ constitution\w* amend\w+ acts? bills? treat(?:y|ies) crim\w+ trials? convict\w+
sentenc\w+ prosecut\w+ defendants? plaintiffs? lawsuits? sued? suits? litigation felon\w+ indict\w+ arrest\w*
prison\w* jails? penalt\w+ punish\w+ enact\w* repeal\w* ordinances? decrees? regulat\w+ contracts? copyrights?
patents? licen[sc]\w+ evidence testi\w+ witness\w* accus\w+ guilt\w* innocen\w+ appeals? unlawful\w* outlaw\w*
police\w* enforc\w+ provisions? rights? clauses? verdicts? tribunals? unconstitutional\w* liab\w+ violat\w+
bail custody case cases"""
FAMILY = r"""famil(?:y|ies) father\w* mother\w* sons? daughters? brother\w* sister\w* parent\w* child\w* wife wives
husbands? uncles? aunts? cousins? nephews? nieces? grand(?:father|mother|parent|child|son|daughter)\w* step\w+
bab(?:y|ies) infants? widow\w* orphans? moms? dads? mum mamma mama papa bride\w* spouses? marri\w+ marry
wedding\w* siblings? twins? ancest\w+ descend\w+ offspring kin\w* household\w* heirs?"""
NEGATION = r"""not no never none nor neither cannot nothing nobody nowhere without ain['’]t \w+n['’]t"""


def _any_of(alternatives: str, flags: int = re.IGNORECASE) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w])(?:{'|'.join(alternatives.split())})(?![\w])", flags)


_CODE_LINE = re.compile(
    r"""^[ \t]*(?:(?:def|class|import|from|return|if|elif|else|for|while|try|except|finally|with|raise|assert|yield)\b
        [^\n]*(?:[:(]|\bimport\b)[^\n]*|@\w+|\#|>>>|(?:return|pass|break|continue|else:|try:)[ \t]*$|["']{3})
    |^[^\n]*(?:self\.|\w\([\w"'*)]|\w[ ]=[ ]|__\w+__|::=|->|</|/>|[{}]|\w\["?'?\w)[^\n]*$""",
    re.MULTILINE | re.VERBOSE,
)
"""A line of source code: it has a statement, call, assignment, attribute, markup or grammar."""
CODE_LINES = 3
"""A token is in code if its own line is a line of code, or this many lines of its context are."""

PATTERNS = {
    "numbers": re.compile(rf"\d[\d.,]*|{_any_of(NUMBER_WORDS).pattern}", re.IGNORECASE),
    "dates": re.compile(
        rf"\d{{1,2}}(?:st|nd|rd|th)?,? (?:of )?{MONTH}|{MONTH}(?: \d{{1,2}}(?:st|nd|rd|th)?\b)?(?:,? ?\d{{4}})?"
        rf"|{WEEKDAY}|(?<![\d.,$])(?:1[4-9]|20)\d\d(?![\d.,]\d)"
    ),
    "countries": re.compile(
        rf"{_any_of(COUNTRIES, 0).pattern}|United\s+(?:States|Kingdom)|Soviet\s+Union|(?:Great\s+)?Britain"
        r"|New\s+Zealand"
        r"|(?:South|North)\s+(?:Africa|Korea|Vietnam)|(?:Saudi|Sri|Costa|El|Puerto|Dominican|Czech)\s+[A-Z]\w+"
        r"|U\.?S\.?(?:S\.?R\.?|A\.?)?\b"
    ),
    "code": _CODE_LINE,
    "negation": _any_of(NEGATION),
    "sea": _any_of(SEA),
    "law": _any_of(LAW),
    "family": _any_of(FAMILY),
}


@dataclass(frozen=True)
class Examples:
    """Strongest examples of every feature: (source, index) -> [(text of the context, start and end of the token)]."""

    of_feature: dict[tuple[str, int], list[tuple[str, int, int]]]

    def fires_on(self, feature: tuple[str, int], pattern: re.Pattern[str]) -> int:
        """Number of examples in which the pattern matches at the token, ignoring blanks around it."""
        return sum(_at(pattern, *example) for example in self.of_feature[feature])


def _at(pattern: re.Pattern[str], text: str, start: int, end: int) -> bool:
    if pattern is _CODE_LINE and len(pattern.findall(text)) >= CODE_LINES:
        return True
    piece = text[start:end]
    if piece.strip():
        start, end = start + len(piece) - len(piece.lstrip()), end - (len(piece) - len(piece.rstrip()))
    return any(match.start() < end and start < match.end() for match in pattern.finditer(text))


def read_examples(folder: Path, manifest: Manifest) -> Examples:
    strings: dict[int, str] = {}
    for batch in read.vocabulary(folder, manifest):
        strings.update((row["token_id"], row["token"]) for row in batch.to_pylist())
    contexts = [row["token_ids"] for batch in read.contexts(folder, manifest) for row in batch.to_pylist()]
    examples: dict[tuple[str, int], list[tuple[str, int, int]]] = {}
    names = ["index", "example_groups", "example_contexts", "example_positions"]
    for source in manifest.source_set.sources:
        for batch in read.features(folder, source):
            for row in batch.select(names).to_pylist():
                columns = zip(*(row[name] for name in names[1:]), strict=True)
                top = [(context, position) for group, context, position in columns if group == 0]
                examples[source.id, row["index"]] = [_spell(contexts[c], p, strings) for c, p in top[:EXAMPLES]]
    return Examples(examples)


def _spell(ids: list[int], position: int, strings: dict[int, str]) -> tuple[str, int, int]:
    prefix = "".join(strings[i] for i in ids[1:position])
    token = strings[ids[position]]
    suffix = "".join(strings[i] for i in ids[position + 1 :])
    return prefix + token + suffix, len(prefix), len(prefix) + len(token)


async def run_queries(folder: Path, manifest: Manifest) -> dict[str, list[tuple[str, int, str]]]:
    """The first RESULTS results (source, index, explanation) of each query."""
    with temporary() as url:
        settings = Settings(_env_file=None, database_url=url, embed_every_seconds=0)  # pyright: ignore[reportCallIssue]
        await migrate(url)
        await load(folder, url)
        embedders = open_registry(embedder_config(settings))
        print(f"{await embed_missing(url, embedders)} explanations embedded", flush=True)
        await embedders.close()
        app = create_app(settings)
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://localhost") as client,
        ):
            results = {}
            for query in PATTERNS:
                body = {"query": query, "modelId": manifest.model.id}
                response = await client.post("/api/explanation/search-model", json=body)
                response.raise_for_status()
                rows = response.json()["results"][:RESULTS]
                results[query] = [(row["layer"], int(row["index"]), row["description"]) for row in rows]
            return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", type=Path, default=Path("demo/dataset"))
    parser.add_argument("--verbose", action="store_true", help="print every result")
    args = parser.parse_args()
    manifest = read.read_manifest(args.dataset)
    examples = read_examples(args.dataset, manifest)
    results = asyncio.run(run_queries(args.dataset, manifest))
    generator = random.Random(0)
    draws = [generator.sample(sorted(examples.of_feature), RESULTS) for _ in range(DRAWS)]
    failed = False
    print(f"{'query':12} right of {RESULTS}   random {RESULTS} (mean of {DRAWS} draws)")
    for query, rows in results.items():
        pattern = PATTERNS[query]
        counts = [examples.fires_on((source, index), pattern) for source, index, _ in rows]
        right = sum(count >= RIGHT_EXAMPLES for count in counts)
        is_right = {key: examples.fires_on(key, pattern) >= RIGHT_EXAMPLES for draw in draws for key in draw}
        at_random = [sum(is_right[key] for key in draw) for draw in draws]
        passed = right >= RIGHT_RESULTS and at_random[0] <= RIGHT_AT_RANDOM
        failed |= not passed
        print(f"{query:12} {right:11}   {at_random[0]:9} ({sum(at_random) / DRAWS:.2f}) {'' if passed else '  FAILED'}")
        if args.verbose:
            for (source, index, text), count in zip(rows, counts, strict=True):
                print(f"    {count:2} of {EXAMPLES}  {source}/{index}: {text}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
