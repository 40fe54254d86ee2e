"""Candles and ticks: write, derive, roll up, read and check."""
