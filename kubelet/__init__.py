"""The node agent: plans what its pods need and drives a CRI runtime to do it. `cri_shim` is the runtime side, apart."""
