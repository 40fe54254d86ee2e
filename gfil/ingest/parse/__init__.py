"""Parsing: cells and JSON values to typed columns."""
