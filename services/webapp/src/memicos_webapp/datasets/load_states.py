"""States of a load and the transitions between them.

staging    an import is writing its rows; only it changes them, or the clean-up after it was interrupted
verified   all rows are stored and checked; the import shows the load next
shown      readers see it: it is its source's current load
retired    it was shown; requests that began before may still read it, and the clean-up deletes it after a while
failed     the dataset was refused; only the reason is kept, until a later load of the source is shown

Every change of `load.state` and of `source.current_load_id` is made by a function of this module.
"""

from collections.abc import Collection, Mapping, Sequence

from asyncpg import Connection

from memicos_webapp.catalog.models import LoadState

PREDECESSORS: dict[LoadState, frozenset[LoadState]] = {
    LoadState.STAGING: frozenset(),
    LoadState.VERIFIED: frozenset({LoadState.STAGING}),
    LoadState.SHOWN: frozenset({LoadState.VERIFIED}),
    LoadState.RETIRED: frozenset({LoadState.SHOWN}),
    LoadState.FAILED: frozenset({LoadState.STAGING, LoadState.VERIFIED}),
}
"""The states that a load may come from; a new load is in state `staging`."""


class LoadStateError(RuntimeError):
    """A load is not in a state that the transition starts from."""


async def _transition(connection: Connection, load_ids: Collection[int], state: LoadState, extra: str = "") -> None:
    """Move loads to `state`; `extra` are further assignments of the UPDATE.

    Raises:
        LoadStateError: one of them does not exist, or is not in a state of PREDECESSORS; none has moved if the caller's
            transaction ends with this error.
    """
    rows = await connection.fetch(
        f"""UPDATE load SET state = $2::load_state {extra}
            WHERE id = ANY($1) AND state::text = ANY($3) RETURNING id""",  # noqa: S608 (constants)
        list(load_ids),
        state.value,
        [predecessor.value for predecessor in PREDECESSORS[state]],
    )
    if invalid := set(load_ids) - {row["id"] for row in rows}:
        raise LoadStateError(
            f"loads {sorted(invalid)} cannot become {state.value}: they do not exist or are in another state"
        )


async def verify(connection: Connection, load_ids: Collection[int]) -> None:
    """Mark staging loads as complete and checked."""
    await _transition(connection, load_ids, LoadState.VERIFIED)


async def flip(connection: Connection, load_ids: Mapping[int, int], retire: Sequence[int] = ()) -> None:
    """Show these loads (source id -> load id), and retire the sources `retire` without showing another load.

    The only function that changes `source.current_load_id`. Call it in a transaction, so that readers
    see the change of all sources at once.
    """
    source_ids = [*load_ids, *retire]
    # locked in the order of ids, so that two flips never wait for each other; not for explanations that are being added
    rows = await connection.fetch(
        """SELECT id, current_load_id FROM source WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE""", source_ids
    )
    previous = [row["current_load_id"] for row in rows if row["current_load_id"] is not None]
    # not `now()`, which is when the transaction began: an import's begins before its rows are copied
    await _transition(connection, previous, LoadState.RETIRED, ", retired_at = clock_timestamp()")
    await _transition(connection, list(load_ids.values()), LoadState.SHOWN, ", import_id = NULL")
    await connection.execute(
        """UPDATE source SET current_load_id = new.load_id
           FROM unnest($1::int[], $2::bigint[]) AS new (source_id, load_id) WHERE source.id = new.source_id""",
        source_ids,
        [*load_ids.values(), *(None for _ in retire)],
    )


async def fail(connection: Connection, load_ids: Collection[int], error: str) -> None:
    """Delete the rows of an import's loads and keep the reason why it was refused."""
    await connection.execute("DELETE FROM feature WHERE load_id = ANY($1)", list(load_ids))
    await _transition(connection, load_ids, LoadState.FAILED, ", import_id = NULL, corpus_id = NULL")
    await connection.execute("UPDATE load SET error = $2 WHERE id = ANY($1)", list(load_ids), error)
