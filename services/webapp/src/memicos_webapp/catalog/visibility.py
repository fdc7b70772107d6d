"""Rules of visibility: the only module that decides which sources, and which load of each, a viewer may read.

Models, releases, source sets and sources each have a visibility and an owner:

public    everyone can read it; it is in listings and searches
unlisted  everyone who has its address can read it; only its owner sees it in listings and searches
private   only its owner can read it

A source is as visible as the narrowest of its model, its release, its source set and itself. A source without an owner
has the owner of its source set, a source set without one that of its release. Viewers with the role `admin` read all.

`visible_sources` is for requests that name a source by its address. `listed_sources` is for listings, searches and
choices. Both select from model, release, source set, source, current load and corpus; a repository adds columns, joins
and conditions. Its functions take a `Viewer`, or a `ResolvedSource` that came from one of these statements.

Vectors that users upload have a visibility and an owner too: `visible_vectors`.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from sqlalchemy import ColumnElement, Select, false, or_, select
from sqlalchemy.sql.functions import coalesce

from memicos_webapp.accounts.models import Account
from memicos_webapp.catalog.models import Corpus, Load, LoadState, Model, Release, Source, SourceSet, Visibility
from memicos_webapp.explanations.models import Explanation
from memicos_webapp.scores.models import Score
from memicos_webapp.vectors.models import Vector

Role = Literal["admin"]
Level = Literal["model", "release", "source_set", "source"]

STATEMENTS = 256
"""Statements cached per function, one for each viewer: building a statement takes longer than running it."""


@dataclass(frozen=True)
class Viewer:
    """An account with its roles; `account_id` is None for a visitor without an account."""

    account_id: int | None = None
    roles: frozenset[Role] = frozenset()

    @property
    def admin(self) -> bool:
        return "admin" in self.roles


NOBODY = Viewer()
"""A visitor without an account."""


@dataclass(frozen=True)
class ResolvedSource:
    """A source that a viewer may read, with the load and the corpus that this request reads of it.

    A request resolves its sources once and passes these on, so that a load which replaces another meanwhile cannot mix
    rows of both.
    """

    source_id: int
    load_id: int
    corpus_id: int


_SET_OWNER = coalesce(SourceSet.owner_id, Release.owner_id)
_OWNED: dict[Level, tuple[ColumnElement[Visibility], ColumnElement[Any]]] = {
    "model": (Model.visibility.expression, Model.owner_id.expression),
    "release": (Release.visibility.expression, Release.owner_id.expression),
    "source_set": (SourceSet.visibility.expression, _SET_OWNER),
    "source": (Source.visibility.expression, coalesce(Source.owner_id, _SET_OWNER)),
}
_NAMED: dict[Level | None, frozenset[Level]] = {
    None: frozenset(),
    "model": frozenset({"model"}),
    "release": frozenset({"release"}),
    # a set has one model and one release, a source one of each
    "source_set": frozenset({"model", "release", "source_set"}),
    "source": frozenset({"model", "release", "source_set", "source"}),
}
"""Levels that a request names along with the one it names."""

_COLUMNS = (
    Source.id.label("source_id"),
    Source.model_id,
    Source.name,
    Source.layer,
    Source.active_embedder,
    SourceSet.name.label("set_name"),
    SourceSet.title.label("set_title"),
    SourceSet.release_id,
    Release.name.label("release_name"),
    Model.name.label("model_name"),
    Model.layers.label("model_layers"),
    Model.origin.label("model_origin"),
    Model.license.label("model_license"),
    Model.chat,
    Load.id.label("load_id"),
    Load.features,
    Load.dead_features,
    Load.counted_tokens,
    Load.architecture,
    Load.d_in,
    Load.d_sae,
    Load.logit_effect,
    Load.residual_norm,
    Load.recipe,
    Load.sae_config,
    Corpus.id.label("corpus_id"),
    Corpus.description.label("corpus_description"),
    Corpus.contexts.label("corpus_contexts"),
    Corpus.context_size,
    Corpus.tokens.label("corpus_tokens"),
    Corpus.collections,
)


def _condition(viewer: Viewer, level: Level, named: bool) -> ColumnElement[bool]:
    visibility, owner = _OWNED[level]
    for_all = visibility != Visibility.PRIVATE if named else visibility == Visibility.PUBLIC
    return for_all if viewer.account_id is None else or_(for_all, owner == viewer.account_id)


@lru_cache(STATEMENTS)
def listed_sources(viewer: Viewer, named: Level | None = None) -> Select:
    """Sources that a listing, a search or a choice shows to `viewer`, each with the fields of `SourceInfo`.

    Args:
        viewer: the account that reads.
        named: what the request names by its id. The page of an unlisted model lists its sources, as everyone
            with its address may read it; other pages do not.
    """
    statement = (
        select(*_COLUMNS)
        .select_from(Source)
        .join(Load, Load.id == Source.current_load_id)
        .join(SourceSet, SourceSet.id == Source.source_set_id)
        .join(Release, Release.id == SourceSet.release_id)
        .join(Model, Model.id == Source.model_id)
        .join(Corpus, Corpus.id == Load.corpus_id)
    )
    if viewer.admin:
        return statement
    return statement.where(*(_condition(viewer, level, level in _NAMED[named]) for level in _OWNED))


def visible_sources(viewer: Viewer) -> Select:
    """Sources that `viewer` may read by their address, each with the fields of `SourceInfo`."""
    return listed_sources(viewer, "source")


@lru_cache(STATEMENTS)
def visible_explanations(viewer: Viewer) -> Select:
    """Explanations of the sources that `viewer` may read, each with the fields of `ExplanationRow`."""
    return (
        visible_sources(viewer)
        .with_only_columns(
            Explanation.id,
            Explanation.source_id,
            Explanation.index,
            Explanation.description,
            Explanation.method,
            Explanation.model,
            Explanation.author_id,
            Account.name.label("author"),
            Explanation.created_at,
            Explanation.chosen_as_label,
            Explanation.template_version,
            Explanation.profile,
            Explanation.parameters,
            Explanation.prompt_tokens,
            Explanation.completion_tokens,
            Explanation.cost,
            maintain_column_froms=True,
        )
        .join(Explanation, Explanation.source_id == Source.id)
        .outerjoin(Account, Account.id == Explanation.author_id)
    )


@lru_cache(STATEMENTS)
def listed_explanations(viewer: Viewer) -> Select:
    """Explanations of the sources that listings show to `viewer`, each with the fields of `ListedExplanation`."""
    return (
        listed_sources(viewer)
        .with_only_columns(
            Explanation.id,
            Source.model_id,
            Source.name,
            Explanation.index,
            Explanation.description,
            Explanation.model,
            Explanation.created_at,
            maintain_column_froms=True,
        )
        .join(Explanation, Explanation.source_id == Source.id)
    )


@lru_cache(STATEMENTS)
def visible_scores(viewer: Viewer) -> Select:
    """Scores of explanations of the sources that `viewer` may read, each with the fields of `ScoreRow`."""
    return (
        visible_sources(viewer)
        .with_only_columns(
            *Score.__table__.columns,
            Account.name.label("author"),
            maintain_column_froms=True,
        )
        .join(Explanation, Explanation.source_id == Source.id)
        .join(Score, Score.explanation_id == Explanation.id)
        .outerjoin(Account, Account.id == Score.author_id)
    )


@lru_cache(STATEMENTS)
def listed_scores(viewer: Viewer) -> Select:
    """Scores of explanations of the sources that listings show to `viewer`, each with the fields of `ListedScore`."""
    return (
        listed_sources(viewer)
        .with_only_columns(
            Score.id,
            Source.model_id,
            Source.name,
            Explanation.index,
            Explanation.description,
            Score.model,
            Score.value,
            Score.low,
            Score.high,
            Score.created_at,
            maintain_column_froms=True,
        )
        .join(Explanation, Explanation.source_id == Source.id)
        .join(Score, Score.explanation_id == Explanation.id)
    )


@lru_cache(STATEMENTS)
def visible_vectors(viewer: Viewer) -> Select:
    """Vectors that `viewer` may read by their address, each with the fields of `VectorRow`.

    A vector is as visible as the narrower of its model and itself.
    """
    statement = select(
        Vector.id,
        Vector.model_id,
        Model.name.label("model_name"),
        Model.chat,
        Vector.source,
        Vector.index,
        Vector.layer,
        Vector.hook_name,
        Vector.label,
        Vector.values,
        Vector.default_strength,
        Vector.visibility,
        Vector.owner_id,
        Vector.created_at,
    ).join(Model, Model.id == Vector.model_id)
    if viewer.admin:
        return statement
    not_private = Vector.visibility != Visibility.PRIVATE
    own = false() if viewer.account_id is None else Vector.owner_id == viewer.account_id
    return statement.where(or_(not_private, own), _condition(viewer, "model", named=True))


@lru_cache(STATEMENTS)
def failed_loads(viewer: Viewer) -> Select:
    """Failed loads of sources that `viewer` owns, for an administrator of all, each with the fields of `FailedLoad`."""
    statement = (
        select(Source.model_id, Source.name, Load.manifest_sha256, Load.created_at, Load.error)
        .select_from(Source)
        .join(Load, Load.source_id == Source.id)
        .join(SourceSet, SourceSet.id == Source.source_set_id)
        .join(Release, Release.id == SourceSet.release_id)
        .where(Load.state == LoadState.FAILED)
    )
    if viewer.admin:
        return statement
    _, owner = _OWNED["source"]
    return statement.where(false() if viewer.account_id is None else owner == viewer.account_id)
