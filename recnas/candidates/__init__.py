"""What is searched: a candidate's inputs, network and recipe, and what it may cost. Needs no torch."""
