"""Answers of an explainer that depend on the prompt alone, so that results can be compared."""

import re

from memicos_testing.llm_provider.server import Received, Reply


def explain_marks(received: Received) -> Reply:
    """An explanation that names the first marked piece of the prompt's texts."""
    marked = re.findall(r"<<(.*?)>>", received.body["messages"][-1]["content"])
    return Reply(content=f"EXPLANATION: the word {marked[0].strip()}")
