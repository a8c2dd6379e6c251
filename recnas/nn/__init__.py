"""What computes: elastic layers, operators, choice blocks, the supernet, embeddings, hand-made baselines."""
