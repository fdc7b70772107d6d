"""Loads what the settings name. Runs in the worker's thread."""

from memicos_inference.serving import Served
from memicos_inference.settings import Settings
from memicos_inference.worker import LoadError, Report


def load(settings: Settings, report: Report) -> Served:
    raise LoadError("")
