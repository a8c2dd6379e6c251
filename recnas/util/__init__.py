"""What every room uses and none is about: errors, files, JSON and YAML, the console."""
