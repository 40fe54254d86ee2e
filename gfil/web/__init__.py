"""Everything that Flask serves: the API, the pages and the live stream."""
