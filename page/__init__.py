"""The page: what people look at. It asks the collector's public API and nothing else, as any user could."""
