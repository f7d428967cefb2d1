"""Stored runs in a browser: a list of those in a folder, and the report of each, made on request."""
