"""What is served, told to clients: plain and aggregated discovery."""
