"""The texts that a dataset is made of."""
