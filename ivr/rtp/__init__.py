"""RTP (RFC 3550, 3551, 4733): packets, telephone events, and the media of many calls on one schedule."""
