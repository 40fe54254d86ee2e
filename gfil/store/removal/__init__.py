"""Removal of rows: prune, delete a range, sweep deleted symbols."""
