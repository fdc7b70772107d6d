"""The `memicos` command: its root, which finds sub-commands through entry points. Imports no package of memicos."""
