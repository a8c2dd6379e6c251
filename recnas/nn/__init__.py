"""What computes: elastic layers, operators, choice blocks, the supernet, embeddings, baselines."""
