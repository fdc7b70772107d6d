"""PostgreSQL: the embedded server, connections, one transaction a request, migrations."""
