"""Loading: rows to buckets, series and transactions."""
