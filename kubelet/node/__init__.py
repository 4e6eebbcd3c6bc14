"""The node as an API object: what the machine offers, how it is, that it lives; and the network it gives its pods."""
