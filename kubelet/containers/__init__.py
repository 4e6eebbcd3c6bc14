"""From the pod's wishes to CRI configuration: environment, DNS, hosts file, security, resources. All pure but cgroups."""
