"""The HTTP API: what the outside sees of the gateway, and nothing that decides about alerts, deliveries or money."""

from gateway.api.application import application

__all__ = ["application"]
