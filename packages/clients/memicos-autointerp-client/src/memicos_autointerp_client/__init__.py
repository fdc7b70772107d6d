"""A client library for accessing memicos autointerp"""

from . import errors, models
from .api.explain import explain_default
from .api.health import health
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
    ErrorBody,
    ErrorBodyCause,
    ExplainRequest,
    ExplainResponse,
    ExplainResponseParameters,
    HealthResponse,
    ProfileState,
    Usage,
)

__all__ = (
    "Activation",
    "ApiError",
    "AuthenticatedClient",
    "BadRequest",
    "Client",
    "ErrorBody",
    "ErrorBodyCause",
    "ExplainRequest",
    "ExplainResponse",
    "ExplainResponseParameters",
    "Forbidden",
    "HealthResponse",
    "NotFound",
    "ProfileState",
    "TooManyRequests",
    "Unauthorized",
    "Unavailable",
    "UnexpectedStatus",
    "Usage",
    "errors",
    "explain_default",
    "health",
    "models",
)
