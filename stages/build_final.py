"""The final training set: chosen or weighted traces, fallbacks, and the data set's own rows (step 6).
"""
