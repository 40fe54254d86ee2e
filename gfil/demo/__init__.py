"""The demo database: made-up history and live feed."""
