"""The database: connections, transactions and retries, and the SQL, by table.

Everything here is written in the intersection of PostgreSQL and CockroachDB: scalar parameters with explicit
casts, columns named, no session state, no advisory locks, and at most one mutation of a table in a statement.
One function is one statement. A function that writes can be run again with the same arguments after an
unknown outcome: it finds its own effect and answers as it would have the first time.
"""
