"""Link state, routes and site properties as ALTO: RFC 7285 and its extensions."""
