"""Learning: the recursion over levels, one level's training, the run's folder."""
