"""Baselines: published models that searched ones are compared with, one file each.

`recnas.candidates.families` lists them, without torch.
"""
