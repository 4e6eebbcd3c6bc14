"""The cluster's DNS server: answers for Services and pods from watches, forwards the rest."""
