"""Importing datasets from disk into PostgreSQL.

commands     the command
service      imports by the command and as jobs
steps        the steps of an import
plan         what an import changes in the catalogue, and when it is refused
rows         records for COPY
repository   SQL of imports
load_states  states of loads, and the flip that makes loads visible
locks        advisory locks
cleanup      deletion of rows that are no longer needed
background   the periodic clean-up in the webapp
"""
