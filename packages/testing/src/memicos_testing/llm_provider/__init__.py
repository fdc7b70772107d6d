"""The double of a provider of language models."""

from memicos_testing.llm_provider.answers import explain_marks
from memicos_testing.llm_provider.server import SERVER_KEY, LlmProvider, Received, Reply, embedding

__all__ = ["SERVER_KEY", "LlmProvider", "Received", "Reply", "embedding", "explain_marks"]
