"""How to reach a recipient, one package a channel. Knows nothing of alerts, credit or HTTP routes."""
