"""One file per verb, and what all verbs share: reading a request, choosing a representation, answering."""
