"""Where a table that is being made keeps what. Needs no torch."""

TRAININGS, SPACE = "trainings.jsonl", "space.json"
"""A line for each training; what candidates are drawn from."""
TABLE, CARD = "table.parquet", "card.md"
"""What is made of it all."""
