"""How models learn: the loop, its schedule and checkpoints, the supernet's warm-up, and what is measured."""
