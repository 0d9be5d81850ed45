"""What came out: metrics, data of the figures, and the table of results. All of it is cheap and reads tables only.

`python -m vr.report metrics.json` prints the table of results.
"""
