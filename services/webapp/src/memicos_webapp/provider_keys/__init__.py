"""Keys of accounts for providers of language models, which their accounts had stored: encrypted, by profile."""
