"""What a dataset holds of each feature: statistics, examples, logit effects, similar and correlated features."""
