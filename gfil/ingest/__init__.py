"""Files and bodies to candles, and candles to files."""
