"""A client library for accessing memicos autointerp"""

from . import errors, models
from .api.explain import explain_default
from .api.health import health
from .api.score import score_embedding, score_fuzz_detection
from .client import AuthenticatedClient, Client
from .errors import (
    ApiError,
    BadRequest,
    Forbidden,
    NotFound,
    TooManyRequests,
    Unauthorized,
    Unavailable,
    UnexpectedStatus,
)
from .models import (
    Activation,
    ClassifiedText,
    EmbeddedText,
    ErrorBody,
    ErrorBodyCause,
    ExplainRequest,
    ExplainResponse,
    ExplainResponseParameters,
    HealthResponse,
    ProfileState,
    ScoreEmbeddingRequest,
    ScoreEmbeddingResponse,
    ScoreEmbeddingResponseFailures,
    ScoreFuzzDetectionRequest,
    ScoreFuzzDetectionRequestType,
    ScoreFuzzDetectionResponse,
    ScoreFuzzDetectionResponseFailures,
    Usage,
)

__all__ = (
    "Activation",
    "ApiError",
    "AuthenticatedClient",
    "BadRequest",
    "ClassifiedText",
    "Client",
    "EmbeddedText",
    "ErrorBody",
    "ErrorBodyCause",
    "ExplainRequest",
    "ExplainResponse",
    "ExplainResponseParameters",
    "Forbidden",
    "HealthResponse",
    "NotFound",
    "ProfileState",
    "ScoreEmbeddingRequest",
    "ScoreEmbeddingResponse",
    "ScoreEmbeddingResponseFailures",
    "ScoreFuzzDetectionRequest",
    "ScoreFuzzDetectionRequestType",
    "ScoreFuzzDetectionResponse",
    "ScoreFuzzDetectionResponseFailures",
    "TooManyRequests",
    "Unauthorized",
    "Unavailable",
    "UnexpectedStatus",
    "Usage",
    "errors",
    "explain_default",
    "health",
    "models",
    "score_embedding",
    "score_fuzz_detection",
)
