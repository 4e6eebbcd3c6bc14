"""Objects whose owners are gone are deleted; owners that wait for their dependents are released when these are gone."""
