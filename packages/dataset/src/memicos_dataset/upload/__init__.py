"""Sends datasets to a memicos server over its API `/api/dataset-upload`."""
