"""The kubelet's HTTPS API: logs, exec, attach, port-forward, stats, metrics; and the plain health port."""
