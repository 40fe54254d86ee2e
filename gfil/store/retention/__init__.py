"""Retention rules and the days they leave alone."""
