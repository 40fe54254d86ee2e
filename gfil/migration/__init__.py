"""Migration of the files of the old system into the database."""
