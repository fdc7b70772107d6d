"""Work on sources that the database has: verification, deletion and export, by commands and as background jobs.

selection    sources that a name, of a source or of a set, stands for
verify       the job that compares stored rows with what was imported
delete       the job that hides sources and deletes their rows
export       sources as a dataset; export_rows has its tables, export_job the job and its download
commands     `memicos sources list | verify | delete`, `memicos export`
"""
