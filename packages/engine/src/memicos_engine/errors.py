"""What the engine refuses."""


class Refused(ValueError):
    """A request that the engine cannot do; the message tells the caller what was wrong and what would do."""


class LoadError(Exception):
    """A model or a source cannot be loaded; the message says what was wrong, where, and what to do."""


class SourceError(ValueError):
    """Files that are not a source which can be loaded; the message names the place."""


class RecipeError(ValueError):
    """What is said of a source's recipe, or not said, so that it cannot be used."""
