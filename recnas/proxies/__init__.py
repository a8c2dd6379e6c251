"""What ranks candidates without training them: statistics once, every proxy a function of them."""
