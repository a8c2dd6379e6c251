"""Means that every room uses: errors, files, JSON and YAML, the console."""
