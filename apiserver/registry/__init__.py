"""What is served and by which rules objects of it are created, changed and removed."""
