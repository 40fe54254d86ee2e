"""Maintenance of a running database: prune, backup, checkpoints and checks."""
