"""What `memicos explain` and `memicos score` share: selection, language model, batches, and the new files."""
