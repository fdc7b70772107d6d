"""Contains all the data models used in inputs/outputs"""

from .add_sources_request import AddSourcesRequest
from .add_sources_response import AddSourcesResponse
from .all_request import AllRequest
from .all_response import AllResponse
from .capabilities_response import CapabilitiesResponse
from .chat_input import ChatInput
from .chat_message import ChatMessage
from .chat_output import ChatOutput
from .chat_output_finished_type_0 import ChatOutputFinishedType0
from .chat_output_type import ChatOutputType
from .chat_request import ChatRequest
from .chat_request_steer_method import ChatRequestSteerMethod
from .chat_request_types_item import ChatRequestTypesItem
from .chat_response import ChatResponse
from .completion_output import CompletionOutput
from .completion_output_finished_type_0 import CompletionOutputFinishedType0
from .completion_output_type import CompletionOutputType
from .completion_request import CompletionRequest
from .completion_request_steer_method import CompletionRequestSteerMethod
from .completion_request_types_item import CompletionRequestTypesItem
from .completion_response import CompletionResponse
from .error_body import ErrorBody
from .error_body_cause import ErrorBodyCause
from .feature_activation import FeatureActivation
from .health_response import HealthResponse
from .health_response_state import HealthResponseState
from .limits import Limits
from .remove_source_response import RemoveSourceResponse
from .single_activation import SingleActivation
from .single_request import SingleRequest
from .single_response import SingleResponse
from .source_info import SourceInfo
from .source_positions import SourcePositions
from .steer_feature import SteerFeature
from .steer_vector import SteerVector
from .token_features import TokenFeatures
from .token_logprob import TokenLogprob
from .tokenize_request import TokenizeRequest
from .tokenize_response import TokenizeResponse
from .top_feature import TopFeature
from .top_logprob import TopLogprob
from .topk_request import TopkRequest
from .topk_response import TopkResponse
from .unavailable_source import UnavailableSource

__all__ = (
    "AddSourcesRequest",
    "AddSourcesResponse",
    "AllRequest",
    "AllResponse",
    "CapabilitiesResponse",
    "ChatInput",
    "ChatMessage",
    "ChatOutput",
    "ChatOutputFinishedType0",
    "ChatOutputType",
    "ChatRequest",
    "ChatRequestSteerMethod",
    "ChatRequestTypesItem",
    "ChatResponse",
    "CompletionOutput",
    "CompletionOutputFinishedType0",
    "CompletionOutputType",
    "CompletionRequest",
    "CompletionRequestSteerMethod",
    "CompletionRequestTypesItem",
    "CompletionResponse",
    "ErrorBody",
    "ErrorBodyCause",
    "FeatureActivation",
    "HealthResponse",
    "HealthResponseState",
    "Limits",
    "RemoveSourceResponse",
    "SingleActivation",
    "SingleRequest",
    "SingleResponse",
    "SourceInfo",
    "SourcePositions",
    "SteerFeature",
    "SteerVector",
    "TokenFeatures",
    "TokenizeRequest",
    "TokenizeResponse",
    "TokenLogprob",
    "TopFeature",
    "TopkRequest",
    "TopkResponse",
    "TopLogprob",
    "UnavailableSource",
)
