"""Training of linear levels: the recursion, rounds of disentangling, forests."""
