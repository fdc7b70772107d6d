"""Sources that a name stands for: that of a source, or of a set, which is all of its sources."""

from dataclasses import dataclass

from asyncpg import Connection, Record

from memicos_webapp.errors import BadInput, NotFound

SOURCES = """
    SELECT source.id, source.model_id, source.name, source.layer, source_set.name AS set_name,
      source_set.title AS set_title, source_set.release_id, load.id AS load_id, load.features, load.created_at,
      load.verified_at, load.verification_problem, load.manifest_sha256,
      EXISTS (SELECT FROM load_part WHERE load_id = load.id) AS verifiable
    FROM source JOIN source_set ON source_set.id = source.source_set_id
    JOIN load ON load.source_id = source.id AND load.state = 'shown'"""
"""Sources that readers see, with the load of each."""
OF_MODEL = f"{SOURCES} WHERE source.model_id = $1"
_ORDER = "ORDER BY source.layer, source.name"


@dataclass(frozen=True)
class Selection:
    """Sources of one set; `name` is that of the source or of the set, `loads` are the ids of what they show."""

    model: str
    set_name: str
    name: str
    sources: list[str]
    loads: list[int]

    @property
    def label(self) -> str:
        return f"{self.model}/{self.name}"

    @property
    def subject(self) -> str:
        """The set, which imports lock (`datasets.locks`)."""
        return f"{self.model}/{self.set_name}"


def parse(address: str) -> tuple[str, str]:
    """Model and name of `model/name`.

    Raises:
        BadInput: it is not of this form.
    """
    model, _, name = address.strip().strip("/").partition("/")
    if not model or not name or "/" in name or "\0" in address:
        raise BadInput(f"{address[:200]!r} is not of the form model/source or model/set.")
    return model, name


async def select(connection: Connection, address: str) -> Selection:
    """The sources that `model/source` or `model/set` stands for.

    Raises:
        BadInput: it is not of this form.
        NotFound: readers see no such source.
    """
    model, name = parse(address)
    rows = await connection.fetch(
        f"{OF_MODEL} AND (source.name = $2 OR source_set.name = $2) {_ORDER}",
        model,
        name,
    )
    own = [row for row in rows if row["name"] == name] or rows
    if not own:
        known = await connection.fetch(f"{OF_MODEL} {_ORDER}", model)
        names = ", ".join(row["name"] for row in known[:20])
        raise NotFound(
            f"There is no source or set {name!r} of the model {model!r}"
            + (f"; its sources are {names}." if names else ", which has none.")
        )
    return Selection(model, own[0]["set_name"], name, [row["name"] for row in own], [row["load_id"] for row in own])


async def all_sources(connection: Connection) -> list[Record]:
    """All sources that readers see, by model, set and layer."""
    return await connection.fetch(f"{SOURCES} ORDER BY source.model_id, source_set.name, source.layer, source.name")
