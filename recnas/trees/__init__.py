"""Gradient-boosted trees beside networks: rows as matrices, LightGBM and CatBoost, their models on disk."""
