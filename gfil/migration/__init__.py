"""The move from the old system's files into the database."""
