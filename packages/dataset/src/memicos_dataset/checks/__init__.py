"""The rules for rows of a dataset, and for single columns."""
