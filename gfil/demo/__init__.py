"""The demo database: generated history and live feed."""
