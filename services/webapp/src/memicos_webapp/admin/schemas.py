"""Bodies of `/api/admin/data` and `/api/admin/jobs`."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field

from memicos_webapp.scores.methods import METHODS as SCORE_METHODS

LOCATION_CHARACTERS = 2000
NAME_CHARACTERS = 400
SOURCES_AT_ONCE = 1000
LAYERS, WIDTH, VOCABULARY = 10**6, 10**9, 10**9
"""Largest figures of a model."""

NAME_EXAMPLE = "smollm2-135m-it/15-res-4k"

JobState = Literal["queued", "running", "waiting", "interrupted", "cancelling", "done", "failed", "cancelled"]
JobNumber = Annotated[int, Path(ge=1, le=2**31 - 1, description="number of the job", examples=[1])]
StoredName = Annotated[
    str,
    Field(max_length=NAME_CHARACTERS, description="model/source, or model/set for all sources of the set",
          examples=[NAME_EXAMPLE]),
]  # fmt: skip


class StoredSource(BaseModel):
    """A source that pages show."""

    source: str = Field(description="id of the source")
    features: int = Field(description="number of its features")
    bytes: int = Field(description="its share of the tables of features, indexes included")
    importedAt: datetime = Field(description="when its import began")
    verifiedAt: datetime | None = Field(description="when its rows were last compared with what was imported")
    problem: str | None = Field(description="what differed then; null: it was complete")


class StoredSet(BaseModel):
    """A source set with the sources that pages show."""

    model: str = Field(description="id of the model")
    set: str = Field(description="name of the set")
    title: str = Field(description="title of the set on pages")
    features: int = Field(description="number of features of its sources")
    bytes: int = Field(description="bytes of its sources")
    sources: list[StoredSource] = Field(description="by layer")


class StoredData(BaseModel):
    """What the database has."""

    databaseBytes: int = Field(description="size of the database on disk")
    freeBytes: int | None = Field(description="free on its disk; null where it is on another machine")
    sets: list[StoredSet] = Field(description="by model and name")


class AvailableEntry(BaseModel):
    """A folder inside a location."""

    name: str = Field(description="last part of its address")
    location: str = Field(description="its address, for another request or an import")
    set: str | None = Field(description="its source set, where its name is that of a source; else null")
    stored: bool = Field(description="whether the database shows a source of this model and name")


class Available(BaseModel):
    """What a location has: a dataset, or folders."""

    location: str | None = Field(description="the location; null: the list of roots")
    dataset: bool = Field(description="whether it is a dataset, or a source in the public layout")
    model: str | None = Field(description="the model that its folders may be sources of; else null")
    entries: list[AvailableEntry] = Field(description="the folders inside")


class PlanSource(BaseModel):
    """A source of a dataset."""

    source: str = Field(description="id of the source")
    features: int | None = Field(description="number of its features; null where only reading all would say")
    files: int = Field(description="number of its files")
    bytes: int = Field(description="bytes of its files")
    shown: bool = Field(description="whether an import would replace a source that is shown")


class PlanSpace(BaseModel):
    """Space that an import needs in a place."""

    place: str = Field(description="the database, or a folder")
    neededBytes: int = Field(description="bytes needed, estimated from the size of the files")
    freeBytes: int | None = Field(description="bytes free; null where this machine cannot know")


class Plan(BaseModel):
    """What an import would do."""

    location: str = Field(description="where the dataset is")
    format: str = Field(description="native, public or saedashboard")
    model: str = Field(description="id of the model")
    set: str | None = Field(description="name of the set; null where the files contradict each other")
    bytes: int = Field(description="bytes of all files")
    sources: list[PlanSource] = Field(description="the sources")
    space: list[PlanSpace] = Field(description="the space that it needs")
    problem: str | None = Field(description="why it would be refused; null where nothing is known")
    unknownFigures: list[str] = Field(
        description="figures of the model that the files do not say and an import needs: layers, d_model, "
        "vocabulary_size"
    )


class ImportRequest(BaseModel):
    """A dataset to import, and what its files do not say."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"location": "https://bucket.example/v1/gpt2-small/6-res-jb"}]}
    )

    location: str = Field(max_length=LOCATION_CHARACTERS, description="folder or URL in one of the import roots")
    sources: list[str] = Field(
        [], max_length=SOURCES_AT_ONCE, description="sources of the public layout; empty: all that are there"
    )
    missing: Literal["refuse", "keep", "retire"] = Field(
        "refuse", description="what to do with sources of the set that are shown and that the dataset lacks"
    )
    moveSources: bool = Field(False, description="move sources into this set that are shown in another set")
    layers: int | None = Field(None, ge=1, le=LAYERS, description="layers of the model, if the files lack it")
    dModel: int | None = Field(None, ge=1, le=WIDTH, description="width of the model, likewise")
    vocabularySize: int | None = Field(None, ge=1, le=VOCABULARY, description="entries of the vocabulary, likewise")
    countedTokens: int | None = Field(None, ge=1, le=10**15, description="tokens that densities are shares of")
    license: str | None = Field(None, max_length=NAME_CHARACTERS, description="licence of the texts")
    corpusUrl: str | None = Field(None, max_length=LOCATION_CHARACTERS, description="page where they are published")


class NameRequest(BaseModel):
    """A source or a set."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"name": NAME_EXAMPLE}]})

    name: StoredName


class ExportRequest(BaseModel):
    """A source or a set to export."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"name": NAME_EXAMPLE, "format": "public"}]}
    )

    name: StoredName
    format: Literal["native", "public"] = Field("native", description="the native format, or the public layout")


class FeaturesRequest(BaseModel):
    """Features of a source or a set, and the language model that works on them."""

    name: StoredName
    profile: str | None = Field(None, max_length=40, description="provider; null: the default one")
    model: str | None = Field(None, max_length=200, description="language model; null: the profile's first")
    budget: float | None = Field(
        None, gt=0, le=1e6, description="most US dollars to pay; null only for a model without a price"
    )
    batch: bool = Field(
        False,
        description="whether what follows the sample is asked by OpenAI's Batch API, for the batch price; "
        "only where the profile has batches",
    )
    minDensity: float = Field(0.0, ge=0, le=1, description="smallest share of active tokens")
    maxDensity: float = Field(1.0, ge=0, le=1, description="largest share of active tokens")
    scoreBelow: float | None = Field(None, ge=-1, le=1, description="only features whose label has a lower score")
    scoreMethod: str = Field("eleuther_embedding", max_length=60, description="of scoreBelow")
    indices: str = Field("", max_length=100_000, description="only these, as 3,7,10-20; empty: all")
    failedIn: int | None = Field(
        None, ge=1, le=2**31 - 1, description="only features that this job listed as failed; null: all"
    )


class ExplainFeaturesRequest(FeaturesRequest):
    """Features of a source or a set to explain by a language model."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"name": NAME_EXAMPLE, "unexplained": True, "budget": 5.0}]}
    )

    method: str = Field("eleuther_acts_top20", max_length=60, description="explainer")
    contrastive: bool = Field(
        False, description="whether prompts show texts of similar features as well, as ones not to describe"
    )
    unexplained: bool = Field(False, description="only features without an explanation other than token statistics")


class ScoreFeaturesRequest(FeaturesRequest):
    """Features of a source or a set whose labels are to be scored; those without a label are left out."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"name": NAME_EXAMPLE, "method": "eleuther_fuzz", "unscored": True, "budget": 5.0}]
        },
    )

    method: str = Field("eleuther_embedding", max_length=60, description=f"one of {', '.join(SCORE_METHODS)}")
    unscored: bool = Field(False, description="only labels without a score by this method and model")
    nearMisses: bool = Field(
        False,
        description="whether half of the texts on which the feature is not active are examples of similar features",
    )
    seed: int = Field(0, ge=0, le=2**63 - 1, description="of every random choice")


class Job(BaseModel):
    """A background job."""

    id: int = Field(description="its number")
    kind: str = Field(description="import, verify, delete, export, explain, score or cancel-batches")
    subject: str | None = Field(description="what it works on; null until that is known")
    location: str = Field(description="where its data is, or the name of a source or set")
    state: JobState = Field(
        description="interrupted: its process ended, and the worker continues it; waiting: a batch of requests to a "
        "language model is in progress"
    )
    stage: str | None = Field(description="what it does now, in words; null where it does not run")
    files: int = Field(description="number of its files")
    filesDone: int = Field(description="files that are stored")
    rows: int = Field(description="rows of its files; 0 until they are known")
    rowsDone: int = Field(description="rows sent to the database so far")
    bytes: int = Field(description="bytes of its files")
    rejects: int = Field(description="rows that it left out, or features that failed")
    batches: int = Field(description="batches of a language model whose answers are not stored yet")
    paid: float = Field(description="US dollars that language models were paid")
    error: str | None = Field(description="why it failed, or the last unexpected error")
    createdAt: datetime = Field(description="when it was added")
    finishedAt: datetime | None = Field(description="when it ended")


class JobProgress(Job):
    """A job with its speed."""

    rowsPerSecond: float | None = Field(None, description="rows a second in the last seconds; null: not known yet")
    bytesPerSecond: float | None = Field(None, description="bytes of its files a second, likewise")
    secondsLeft: float | None = Field(None, description="time left at this speed, until all rows are stored")


class JobList(BaseModel):
    """Jobs."""

    jobs: list[Job] = Field(description="the newest first")


class LogLine(BaseModel):
    """A line of a job's log."""

    at: datetime = Field(description="when it was written")
    line: str = Field(description="the line")


class Reject(BaseModel):
    """A row that a job left out."""

    file: str = Field(description="the file; of a job that explains or scores features the source")
    line: int = Field(description="from 1: of a text file its lines, of a Parquet file its rows; or the feature")
    column: str = Field(description="the column; empty where it is the whole row; or the cause of the failure")
    reason: str = Field(description="why no page could show it, or why the feature has no explanation or score")


class JobDetail(BaseModel):
    """A job with its log and the rows that it left out."""

    job: Job = Field(description="the job")
    log: list[LogLine] = Field(description="the newest 1,000 lines, the oldest first")
    rejects: list[Reject] = Field(description="at most 1,000 rows, by file and line")
