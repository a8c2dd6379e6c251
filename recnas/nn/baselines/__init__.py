"""Hand-made models that a found one is compared with, one file each. Their names; `table` has the models."""

TITLES = {
    "lr": "LR",
    "dlrm": "DLRM",
    "deepfm": "DeepFM",
    "xdeepfm": "xDeepFM",
    "autoint+": "AutoInt+",
    "dcnv2": "DCN-V2",
    "finalmlp": "FinalMLP",
}
"""How each is called, by its name in settings and folders. Needs no torch."""
