"""The broker: the only folder that knows channels, billing and templates."""
