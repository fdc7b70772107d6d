"""PostgreSQL: the embedded server, connections, one transaction per request, migrations."""
