"""Objects as text: columns, YAML, JSON, JSONPath templates, columns of one's own, descriptions."""
