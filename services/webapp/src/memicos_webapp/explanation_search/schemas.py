"""JSON of search of explanations: fields of published clients and further ones; the query of the search page."""

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, field_validator

from memicos_webapp import examples, recipes
from memicos_webapp.explanation_search.service import SearchHit, SearchResults, SkippedSources
from memicos_webapp.features.schemas import NeuronBody
from memicos_webapp.recipes import Recipe
from memicos_webapp.settings import at_most

Share = Annotated[float | None, Field(ge=0, le=1)]


class SearchBody(BaseModel):
    """Fields of all four searches."""

    model_config = ConfigDict(extra="ignore", protected_namespaces=())

    query: str = Field(
        description="description of the features to find; 3 characters or more, " + at_most("query_characters")
    )
    offset: int = Field(default=0, ge=0, le=100_000, description="results to skip; the nextOffset of a response")
    minDensity: Share = Field(
        default=None, description="activation density (share of counted tokens where the feature is active), at least"
    )
    maxDensity: Share = Field(
        default=None, description="activation density (share of counted tokens where the feature is active), at most"
    )
    byMeaning: bool = Field(
        default=True, description="false: search by words only; the query is not embedded, so no cost limit applies"
    )


class SearchAllBody(SearchBody):
    """Search all features."""

    model_config = ConfigDict(json_schema_extra=examples.SEARCH_ALL)


class SearchModelBody(SearchBody):
    """Search the features of a model."""

    model_config = ConfigDict(json_schema_extra=examples.SEARCH_MODEL)

    modelId: str = Field(description="id of the model")


class SearchReleaseBody(SearchBody):
    """Search the features of a release."""

    model_config = ConfigDict(json_schema_extra=examples.SEARCH_RELEASE)

    releaseName: str = Field(description="id of the release")


class SearchSourcesBody(SearchBody):
    """Search the features of some sources of a model."""

    model_config = ConfigDict(json_schema_extra=examples.SEARCH_SOURCES)

    modelId: str = Field(description="id of the model")
    layers: list[str] = Field(max_length=1000, description="ids of sources; empty: every source of the model")


class SearchCriteria(SearchBody):
    """The request; fields that it does not have are null."""

    modelId: str | None = Field(default=None, description="id of the model")
    layers: list[str] | None = Field(default=None, description="ids of sources")
    releaseName: str | None = Field(default=None, description="id of the release")


class ExplanationHit(BaseModel):
    """A feature with its best matching explanation. Each feature is in the results once."""

    modelId: str = Field(description="id of the model")
    layer: str = Field(description="id of the source")
    source: str = Field(description="id of the source")
    index: str = Field(description="index of the feature")
    description: str = Field(description="text of the explanation")
    explanationModelName: str | None = Field(description="language model that wrote it; null where none did")
    typeName: str = Field(description="method of the explanation")
    cosine_similarity: float | None = Field(
        description="cosine of the embeddings of query and explanation, -1 to 1; null: it has no embedding"
    )
    matchedBy: list[str] = Field(description="meaning (embeddings), words (text search) or both")
    neuron: NeuronBody = Field(description="the feature with its label, density, logits and strongest example")

    @classmethod
    def from_hit(cls, hit: SearchHit) -> "ExplanationHit":
        ranked, source = hit.ranked, hit.source
        return cls(
            modelId=source.model_id,
            layer=source.name,
            source=source.name,
            index=str(ranked.index),
            description=hit.explanation.description,
            explanationModelName=hit.explanation.model,
            typeName=hit.explanation.method,
            cosine_similarity=ranked.cosine,
            matchedBy=[name for name, by in (("meaning", ranked.by_meaning), ("words", ranked.by_words)) if by],
            neuron=NeuronBody.from_card(hit.card, hit.contexts),
        )


class SkippedSourcesBody(BaseModel):
    """Sources of which some or all explanations were searched by words only."""

    modelId: str = Field(description="id of the model")
    sources: list[str] = Field(description="ids of sources")
    reason: str = Field(description="why they were not searched by meaning")

    @classmethod
    def from_sources(cls, skipped: SkippedSources) -> "SkippedSourcesBody":
        return cls(modelId=skipped.model, sources=skipped.sources, reason=skipped.reason)


class ExplanationSearchResult(BaseModel):
    """Features, best first: their ranks by meaning and by words are fused."""

    request: SearchCriteria = Field(description="the request")
    results: list[ExplanationHit] = Field(description="features, best first")
    resultsCount: int = Field(description="number of results in this response")
    hasMore: bool = Field(description="whether there is a next page")
    nextOffset: int | None = Field(default=None, description="offset of the next page; null at the end")
    skipped: list[SkippedSourcesBody] = Field(description="sources not, or not completely, searched by meaning")
    exampleRecipes: dict[str, Recipe] = Field(
        description="by `<model>/<source>`, how the values of examples were computed"
    )

    @classmethod
    def from_results(cls, request: SearchCriteria, results: SearchResults) -> "ExplanationSearchResult":
        sources = {f"{hit.source.model_id}/{hit.source.name}": hit.source for hit in results.hits}
        return cls(
            request=request,
            results=[ExplanationHit.from_hit(hit) for hit in results.hits],
            resultsCount=len(results.hits),
            hasMore=results.next_offset is not None,
            nextOffset=results.next_offset,
            skipped=[SkippedSourcesBody.from_sources(skipped) for skipped in results.skipped],
            exampleRecipes={name: recipes.dataset_recipe(source) for name, source in sources.items()},
        )


def _empty_is_none(value: object) -> object:
    """Forms send an empty field as an empty string."""
    return None if value == "" else value


_NAMES = TypeAdapter(list[str])


class PageQuery(BaseModel):
    """Query of the page. The scope is a release, a model, or sources of a model; without any of them everything.

    `sources` is JSON, as links to this page have it; the form sends `source`, once for each.
    """

    model_config = ConfigDict(protected_namespaces=())

    q: str = ""
    release_name: str = Field(default="", alias="releaseName")
    model_id: str = Field(default="", alias="modelId")
    sources: str = ""
    source: list[str] = []
    max_density: Annotated[float | None, BeforeValidator(_empty_is_none)] = Field(
        default=None, alias="maxDensity", ge=0, le=1
    )
    page: int = Field(default=1, ge=1, le=10_000)

    @field_validator("sources")
    @classmethod
    def _is_a_list(cls, value: str) -> str:
        _NAMES.validate_json(value or "[]")
        return value

    @property
    def names(self) -> list[str]:
        return list(dict.fromkeys([*_NAMES.validate_json(self.sources or "[]"), *self.source]))

    @property
    def scope(self) -> Literal["all", "release", "model", "sources"]:
        if self.release_name:
            return "release"
        if not self.model_id:
            return "all"
        return "sources" if self.sources or self.source else "model"
