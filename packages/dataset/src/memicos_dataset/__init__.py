"""The on-disk dataset of feature dashboards: Parquet files and one manifest.

    manifest.json                    lists the files, with rows, bytes and sha256 of each
    corpus/documents.parquet         titles and collections of the texts
    corpus/vocabulary.parquet        token id -> text, for the ids that occur
    corpus/contexts-00000.parquet    token windows, stored once for all features of all sources
    <source>/features-00000.parquet  one row per feature; examples refer to contexts by number
    <source>/explanations.parquet    explanations of features
    <source>/scores.parquet          scores of the explanations

`schema` has the columns, `manifest` the manifest, `folder` the folders and URLs that files are in, `read` and `write`
read and write files, `checks` has the rules for rows, `source_ids` the rule for names of sources, `replace_folder`
replaces a dataset on disk, `remote` puts datasets into buckets.
"""
