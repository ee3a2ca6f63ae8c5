"""Who is who: a small certificate authority, the mesh's key for authenticated STAMP, and the folder that has both."""
