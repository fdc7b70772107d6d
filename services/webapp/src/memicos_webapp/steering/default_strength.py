"""How strongly to steer with a feature that nobody has given a strength."""


def default_strength(max_activation: float) -> float:
    """Three times the feature's strongest activation, at two digits; 10 for a feature that never fires.

    The decoder direction has length 1 and activations are in units of the residual stream, so this is a push of about
    the residual's own norm for most features: enough to be read in the text, mostly without breaking it.
    """
    if max_activation <= 0:
        return 10.0
    return float(f"{3 * max_activation:.2g}")
