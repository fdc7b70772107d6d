"""Importing datasets from disk into PostgreSQL.

commands     the command
service      imports by the command and as jobs
steps        the steps of an import
copying      checks and copies the rows: the longest step
running_import  an import that runs, and its options
plan         what an import changes in the catalogue, and when it is refused
preview      what an import would do, and the space that it needs
stored_rows  rows for COPY, and their digests
repository   SQL of imports
load_states  states of loads, and the flip that makes loads visible
locks        advisory locks
cleanup      deletion of rows that are no longer needed
background   the periodic clean-up in the webapp
"""
