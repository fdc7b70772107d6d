"""A feature's entries in a dataset: statistics, examples, logit effects, similar and correlated features."""
