"""What `benchmarks/training.py` trains: the same networks by four libraries, on the same rows, by the same clock.

Each module but `case` has `train(case, log, clock)`, which trains without end: the clock ends it, by `Finished`. Those
of other libraries need neither recnas nor each other.
"""
