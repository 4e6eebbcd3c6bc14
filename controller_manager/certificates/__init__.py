"""Trust: the root certificate in every namespace, and certificates for those who ask with a signing request."""
