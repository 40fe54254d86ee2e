"""Clients of the HTTP API that the command line uses."""
