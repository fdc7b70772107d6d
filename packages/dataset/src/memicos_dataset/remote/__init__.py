"""Datasets in buckets and at other URLs that fsspec can write.

errors        the errors of remote file systems, as OSErrors that say what to set
file_systems  fsspec's file systems, without repetitions of their own
retries       requests that are repeated while a server does not answer
retried_file  a file that is read on from where its connection broke off
checksums     local files with their hashes, and whether a remote file is the same
put           files into a folder at a URL: those that lack, in parallel; what says that it is complete last
native        a native dataset to a URL
publish       a dataset to a URL, in the public layout
work_folder   the folder in which a dataset is converted before
commands      `memicos publish`
"""
