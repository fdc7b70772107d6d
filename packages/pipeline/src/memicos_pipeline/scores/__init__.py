"""Scores of the explanations of a dataset: `memicos score`."""
