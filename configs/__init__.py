"""Presets: one YAML file for each published setting."""
