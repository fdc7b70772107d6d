"""Code that every HTTP service of memicos shares. No torch, no database, nothing of one service alone."""
