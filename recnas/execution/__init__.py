"""Who does the work: this process, several, a Ray cluster, torchrun's; order is kept, lost work is done again."""
