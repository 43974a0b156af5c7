"""Voice: calls that speak the alert and take the decision by keypad. SIP, RTP and menus live in `ivr`."""
