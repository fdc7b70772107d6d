"""What a server shows of a feature, recomputed by plain transformers and numpy, apart from the engine.

shown     what a server shows
hidden    activations at a hook point, by transformers
sae       a feature's values, by numpy
compare   how far the two are apart
report    all of it for one feature, told line by line
"""
