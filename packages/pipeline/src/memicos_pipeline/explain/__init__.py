"""`memicos explain`: a language model explains the features of a dataset."""
