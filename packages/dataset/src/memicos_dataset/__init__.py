"""The on-disk dataset of feature dashboards: Parquet files under one manifest.

    manifest.json                    what the files are, with rows, bytes and sha256 of each
    corpus/documents.parquet         where the text comes from, with licence
    corpus/vocabulary.parquet        token id -> text, for the ids that occur
    corpus/contexts.parquet          token windows, once, shared by every feature of every source
    <source>/features-00000.parquet  one row per feature; examples refer to contexts by number
    <source>/explanations.parquet    features in words

`schema` holds the columns, `manifest` the manifest, `read` and `write` the two directions.
"""
