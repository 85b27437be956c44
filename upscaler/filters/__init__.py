"""Classical filters: what the network is compared with."""
