"""Sources of an import: bytes, lines, JSON elements and files."""
