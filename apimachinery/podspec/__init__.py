"""Arithmetic over pod specs that several services share: resources, quality of service, ports, names of containers.

Everything takes pods or pod specs as plain dicts and reads absent fields as their zero values.
"""
