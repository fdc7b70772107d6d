"""Contains all the data models used in inputs/outputs"""

from .activation import Activation
from .error_body import ErrorBody
from .error_body_cause import ErrorBodyCause
from .explain_request import ExplainRequest
from .explain_response import ExplainResponse
from .explain_response_parameters import ExplainResponseParameters
from .health_response import HealthResponse
from .profile_state import ProfileState
from .usage import Usage

__all__ = (
    "Activation",
    "ErrorBody",
    "ErrorBodyCause",
    "ExplainRequest",
    "ExplainResponse",
    "ExplainResponseParameters",
    "HealthResponse",
    "ProfileState",
    "Usage",
)
