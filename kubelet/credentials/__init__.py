"""The kubelet's own certificates: for its calls to the apiserver and for its HTTPS API. Asked for, kept, renewed."""
