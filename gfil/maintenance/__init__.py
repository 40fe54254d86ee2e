"""What keeps a running database well."""
