"""Claims meet volumes: binding, release and the claims that belong to one pod alone."""
