"""What came out: metrics, plot data and the table of results."""
