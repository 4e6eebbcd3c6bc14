"""Asking other servers: the client of admission and conversion webhooks, and where the Services behind them are."""
