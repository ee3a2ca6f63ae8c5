"""`python -m linkweather` is the command `linkweather`."""

from linkweather.cli import main

main(prog_name="linkweather")
