"""Texts in every language: a catalog of templates and their safe rendering; nothing of alerts, channels or money."""
