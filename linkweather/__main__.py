"""`python -m linkweather` is the command `linkweather`."""

from linkweather.cli.root import main

main(prog_name="linkweather")
