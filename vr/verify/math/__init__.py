"""The verifier of mathematical answers. Whoever wants Python's own `math` here gets it: imports are absolute."""
