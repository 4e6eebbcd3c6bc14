"""ServiceAccounts: a `default` one in every namespace, and the tokens of Secrets that ask for one."""
