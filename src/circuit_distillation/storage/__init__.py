"""Files and folders that are whole or absent, their checksums, and error texts."""
