"""Contains all the data models used in inputs/outputs"""

from .add_sources_request import AddSourcesRequest
from .add_sources_response import AddSourcesResponse
from .all_batch_request import AllBatchRequest
from .all_batch_request_chat_template_kwargs import AllBatchRequestChatTemplateKwargs
from .all_batch_response import AllBatchResponse
from .all_request import AllRequest
from .all_request_chat_template_kwargs import AllRequestChatTemplateKwargs
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
from .cossim_request import CossimRequest
from .cossim_response import CossimResponse
from .error_body import ErrorBody
from .error_body_cause import ErrorBodyCause
from .feature import Feature
from .feature_activation import FeatureActivation
from .feature_reference import FeatureReference
from .health_response import HealthResponse
from .health_response_state import HealthResponseState
from .limitation import Limitation
from .limits import Limits
from .model_recipe import ModelRecipe
from .output_delta import OutputDelta
from .output_delta_finished_type_0 import OutputDeltaFinishedType0
from .output_delta_type import OutputDeltaType
from .raw_activation import RawActivation
from .raw_request import RawRequest
from .raw_request_chat_template_kwargs import RawRequestChatTemplateKwargs
from .raw_request_type import RawRequestType
from .raw_response import RawResponse
from .raw_response_type import RawResponseType
from .raw_result import RawResult
from .recipe import Recipe
from .remove_source_response import RemoveSourceResponse
from .sae_recipe import SaeRecipe
from .selftest import Selftest
from .selftest_check import SelftestCheck
from .selftest_state import SelftestState
from .similar_feature import SimilarFeature
from .single_activation import SingleActivation
from .single_batch_request import SingleBatchRequest
from .single_batch_request_chat_template_kwargs import (
    SingleBatchRequestChatTemplateKwargs,
)
from .single_batch_response import SingleBatchResponse
from .single_request import SingleRequest
from .single_request_chat_template_kwargs import SingleRequestChatTemplateKwargs
from .single_response import SingleResponse
from .source_info import SourceInfo
from .source_positions import SourcePositions
from .source_request import SourceRequest
from .source_request_chat_template_kwargs import SourceRequestChatTemplateKwargs
from .source_response import SourceResponse
from .source_result import SourceResult
from .source_result_activefeatures import SourceResultActivefeatures
from .steer_delta import SteerDelta
from .steer_feature import SteerFeature
from .steer_vector import SteerVector
from .template_message import TemplateMessage
from .template_request import TemplateRequest
from .template_request_chat_template_kwargs import TemplateRequestChatTemplateKwargs
from .template_response import TemplateResponse
from .template_response_template import TemplateResponseTemplate
from .template_span import TemplateSpan
from .template_span_section import TemplateSpanSection
from .token_features import TokenFeatures
from .token_logprob import TokenLogprob
from .tokenize_request import TokenizeRequest
from .tokenize_response import TokenizeResponse
from .top_feature import TopFeature
from .top_logprob import TopLogprob
from .topk_batch_request import TopkBatchRequest
from .topk_batch_request_chat_template_kwargs import TopkBatchRequestChatTemplateKwargs
from .topk_batch_response import TopkBatchResponse
from .topk_request import TopkRequest
from .topk_request_chat_template_kwargs import TopkRequestChatTemplateKwargs
from .topk_response import TopkResponse
from .unavailable_source import UnavailableSource
from .unsteerable_hook import UnsteerableHook
from .vector_request import VectorRequest
from .vector_request_which import VectorRequestWhich
from .vector_response import VectorResponse
from .vector_response_which import VectorResponseWhich

__all__ = (
    "AddSourcesRequest",
    "AddSourcesResponse",
    "AllBatchRequest",
    "AllBatchRequestChatTemplateKwargs",
    "AllBatchResponse",
    "AllRequest",
    "AllRequestChatTemplateKwargs",
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
    "CossimRequest",
    "CossimResponse",
    "ErrorBody",
    "ErrorBodyCause",
    "Feature",
    "FeatureActivation",
    "FeatureReference",
    "HealthResponse",
    "HealthResponseState",
    "Limitation",
    "Limits",
    "ModelRecipe",
    "OutputDelta",
    "OutputDeltaFinishedType0",
    "OutputDeltaType",
    "RawActivation",
    "RawRequest",
    "RawRequestChatTemplateKwargs",
    "RawRequestType",
    "RawResponse",
    "RawResponseType",
    "RawResult",
    "Recipe",
    "RemoveSourceResponse",
    "SaeRecipe",
    "Selftest",
    "SelftestCheck",
    "SelftestState",
    "SimilarFeature",
    "SingleActivation",
    "SingleBatchRequest",
    "SingleBatchRequestChatTemplateKwargs",
    "SingleBatchResponse",
    "SingleRequest",
    "SingleRequestChatTemplateKwargs",
    "SingleResponse",
    "SourceInfo",
    "SourcePositions",
    "SourceRequest",
    "SourceRequestChatTemplateKwargs",
    "SourceResponse",
    "SourceResult",
    "SourceResultActivefeatures",
    "SteerDelta",
    "SteerFeature",
    "SteerVector",
    "TemplateMessage",
    "TemplateRequest",
    "TemplateRequestChatTemplateKwargs",
    "TemplateResponse",
    "TemplateResponseTemplate",
    "TemplateSpan",
    "TemplateSpanSection",
    "TokenFeatures",
    "TokenizeRequest",
    "TokenizeResponse",
    "TokenLogprob",
    "TopFeature",
    "TopkBatchRequest",
    "TopkBatchRequestChatTemplateKwargs",
    "TopkBatchResponse",
    "TopkRequest",
    "TopkRequestChatTemplateKwargs",
    "TopkResponse",
    "TopLogprob",
    "UnavailableSource",
    "UnsteerableHook",
    "VectorRequest",
    "VectorRequestWhich",
    "VectorResponse",
    "VectorResponseWhich",
)
