"""What protects a server from requests: guards, headers of responses, names of hosts."""
