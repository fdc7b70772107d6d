"""The owner's page and JSON API of data: what is stored and what the import roots have, jobs, their progress.

available   what the import roots have
service     lists, and jobs that requests add
events      progress of jobs as server-sent events
"""
