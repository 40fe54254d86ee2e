"""The store: everything that touches SQLite, and the only SQL of the product."""
