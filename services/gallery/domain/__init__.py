"""Rules of the gallery: what a delivered picture becomes, and how an asset is served. No I/O."""
