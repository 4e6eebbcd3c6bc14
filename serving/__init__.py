"""The HTTPS host that every service shares: TLS with client certificates, upgrades, health, metrics, delegated auth."""
