"""HTTP clients of a GFIL server."""
