"""What an attribution map must satisfy exactly: networks on which that is known, and how far a map is from it."""
