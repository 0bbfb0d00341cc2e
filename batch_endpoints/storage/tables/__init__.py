"""Files that are tables: where each may be cut, and the rows between two cuts."""
