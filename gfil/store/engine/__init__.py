"""The database file: connections, transactions, locks, copies and the fail-stop."""
