"""Parts of the API that other servers answer, told by APIService objects."""
