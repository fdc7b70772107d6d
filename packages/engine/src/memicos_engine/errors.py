"""What the engine refuses."""


class Refused(ValueError):
    """A request that the engine cannot do; the message tells the caller what was wrong and what would do."""
