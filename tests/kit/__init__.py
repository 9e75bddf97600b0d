"""The test kit: virtual time, a scripted upstream, a tape for a client, and answers to script."""
