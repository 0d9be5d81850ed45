"""Log-probs of one seed's traces, and of the reference answer after each, under pi_0 (step 3): one pass for both.

Reads PROBLEMS, TRACES, the model INITIAL, the system prompt REASONER. Writes LOGPS (schemas.Logps).
"""
