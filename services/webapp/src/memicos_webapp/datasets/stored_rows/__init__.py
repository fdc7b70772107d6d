"""Rows of a dataset as PostgreSQL stores them, and their digests.

rows           a dataset's Parquet rows as checked rows for COPY
token_arrays   arrays of the strings of tokens
binary_copy    rows in the binary format of COPY
row_digests    digests of rows, from files and from the database
verification   comparison of stored rows with what an import noted
"""
