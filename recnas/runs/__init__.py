"""A run's folder: settings, history, results, status; its only reader and writer."""
