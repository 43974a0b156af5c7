"""The store: the truth of the broker. Tables, statements, units of work, the journal; SQLite and PostgreSQL alike."""
