"""From the pod's wishes to CRI configuration: environment, DNS, hosts, security, resources. Pure but for cgroups."""
