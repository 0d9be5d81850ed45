"""How long work survives an interruption: work folders that one process holds, and rows that are saved as they come."""
