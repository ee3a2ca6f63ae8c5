"""Example settings, data only; a package so that they are found from a wheel and from a checkout alike."""
