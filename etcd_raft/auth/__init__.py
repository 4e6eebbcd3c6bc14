"""Users, roles and what they may do: the replicated table (`accounts`), passwords, and the tokens of this member."""
