"""Shared by all routes: scope, parameters, bodies, errors, logs and metrics."""
