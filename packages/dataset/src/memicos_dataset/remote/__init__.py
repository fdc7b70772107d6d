"""Datasets in buckets and at other URLs that fsspec can write.

errors      the errors of remote file systems, as OSErrors that say what to set
retries     calls that are repeated while a server does not answer
checksums   local files with their hashes, and whether a remote file is the same
put         files into a folder at a URL: those that lack, in parallel; what says that it is complete last
publish     the public layout, or a native dataset, to a URL
commands    `memicos publish`
"""
