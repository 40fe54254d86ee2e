"""Detection: format, columns, file name and timeframe of a source."""
