"""The public layout: JSON Lines of features, activations and explanations, one folder for each source.

    v1/<model>/<source>/release.jsonl, model.jsonl, sourceset.jsonl, source.jsonl       one row each
    v1/<model>/<source>/features/batch-<N>.jsonl.gz
    v1/<model>/<source>/activations/batch-<N>.jsonl.gz
    v1/<model>/<source>/explanations/batch-<N>.jsonl.gz
    v1/<model>/<source>/files.jsonl        the list of these files, where memicos published them

files          folders and batch files, in the order of their numbers
file_list      the list of a published source's files
lines          lines of compressed files, and rows that are refused
values         checked values of a row
corpus         contexts by the hash of their tokens, and the vocabulary
activations    activation rows as columns
features       feature and explanation rows as columns
saedashboard   SAEDashboard's own output as the same rows
metadata       the four files of one row, and the manifest
steps          batch files as steps that a killed conversion does not repeat
native_tables  steps to the files of a dataset
public_rows    rows of the layout from a dataset
"""
