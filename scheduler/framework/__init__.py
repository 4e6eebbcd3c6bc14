"""One scheduling cycle: filters narrow, scores rank, one node is chosen. Pure; `explain` shows every step of it."""
