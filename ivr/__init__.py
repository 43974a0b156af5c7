"""Calls: SIP, RTP, keys, prompts and menus. The folder is reserved by the layout; nothing of it is built yet."""
