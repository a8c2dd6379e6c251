"""The names of the files of a model of trees; needs neither torch nor a library."""

TREES = "trees.json"
"""What it is of, and the columns that the trees take; it is written last."""
ENSEMBLES = {"lightgbm": "model.txt", "catboost": "model.json"}
"""By family the library's own file."""
