"""Removal of rows: pruning, deletion and the sweep of deleted symbols."""
