"""Each protocol on the real service, asked as its clients ask."""
