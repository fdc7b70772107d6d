"""Places that the server imports from: those of MEMICOS_IMPORT_ROOTS, and no others.

roots            the setting, and the check of a location
access           folders that read what the roots permit
addresses        which addresses a connection may go to
pinned_client    HTTP with names that are looked up once, and checked redirects
"""
